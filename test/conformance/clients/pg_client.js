// A Node.js application on pg (node-postgres): pg_client.js features|writes …
const fs = require('fs');
const { pipeline } = require('stream/promises');
const pg = require('pg');
const copy = require('pg-copy-streams');
const { LARGE_ROWS, SLEEP_S, place, sumOf, sleep, printFeatures, writeOn, refused, run } = require('./common.js');

const SAME = "text = encode(sha256(id::text::bytea), 'hex')";
const LARGE = `SELECT repeat(encode(sha256(i::text::bytea), 'hex'), 16) AS text FROM generate_series(1, ${LARGE_ROWS}) AS i`;
const WHO = "SELECT inet_server_addr() || ' ' || pg_backend_pid() AS v";
// The certificate names the members, and we connect to an endpoint: its authority is verified, its name is not.
const authority = (file) => ({ ssl: { ca: fs.readFileSync(`${place.folder}/${file}`), checkServerIdentity: () => undefined } });

const options = (more = {}) => ({
    host: place.host, port: place.port, user: 'app', password: process.env.DATABASE_PASSWORD, database: 'orders',
    connectionTimeoutMillis: 20000, ...more,
});

async function connected(work, more) {
    const client = new pg.Client(options(more));
    client.on('error', () => {});
    await client.connect();
    try {
        return await work(client);
    } finally {
        await client.end();
    }
}

const value = async (client, sql) => (await client.query(sql)).rows[0].v;

const large = async (client) => sumOf((await client.query(LARGE)).rows.map((row) => row.text));

const table = (client) =>
    client.query(`DROP TABLE IF EXISTS ${place.table}; CREATE TABLE ${place.table} (id int PRIMARY KEY, text varchar(200))`);

async function prepared(client) {
    const results = [];
    for (let more = 0; more < 3; more += 1) {
        const { rows } = await client.query({ name: 'product', text: 'SELECT 6 * 7 + $1::int AS v', values: [more] });
        results.push(rows[0].v);
    }
    return results;
}

async function loaded(client) {
    await table(client);
    await pipeline(fs.createReadStream(`${place.folder}/load.tsv`), client.query(copy.from(`COPY ${place.table} FROM STDIN`)));
    return Number(await value(client, `SELECT count(*) AS v FROM ${place.table} WHERE ${SAME}`));
}

async function copiedOut(client) {
    const blocks = [];
    for await (const block of client.query(copy.to(`COPY (SELECT * FROM ${place.table} ORDER BY id) TO STDOUT`))) {
        blocks.push(block);
    }
    const text = Buffer.concat(blocks).toString();
    return text === fs.readFileSync(`${place.folder}/load.tsv`, 'utf8') ? text.split('\n').length - 1 : 'other rows';
}

async function transaction(client) {
    await table(client);
    await client.query('BEGIN');
    await client.query(`INSERT INTO ${place.table} VALUES (1, 'one'), (2, 'two')`);
    await client.query('COMMIT');
    await client.query('BEGIN');
    await client.query(`INSERT INTO ${place.table} VALUES (3, 'three')`);
    await client.query('ROLLBACK');
    return (await client.query(`SELECT id FROM ${place.table} ORDER BY id`)).rows.map((row) => row.id);
}

const cancelled = (more) => connected(async (client) => {
    const began = Date.now();
    const ended = await new Promise((done) => {
        const query = client.query(new pg.Query(`SELECT pg_sleep(${SLEEP_S})`, (error) => done(error ? error.code : 'not cancelled')));
        setTimeout(() => new pg.Client(options(more)).cancel(client, query), 1000);
    });
    return ended === '57014' && Date.now() - began < SLEEP_S * 500 && (await value(client, 'SELECT 1 AS v')) === 1 ? true : ended;
}, more);

async function idle() {
    const client = new pg.Client(options());
    await client.connect();
    const before = await value(client, WHO);
    return async () => {
        const same = (await value(client, WHO)) === before;
        await client.end();
        return same;
    };
}

const features = {
    prepared: () => connected(prepared),
    large: () => connected(large),
    loaded: () => connected(loaded),
    copied_out: () => connected(copiedOut),
    transaction: () => connected(transaction),
    cancelled: () => cancelled(),
    tls: () => connected(async (client) =>
        (await value(client, 'SELECT version AS v FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl')).startsWith('TLS'),
    authority('ca.pem')),
    tls_large: () => connected(large, authority('ca.pem')),
    tls_cancelled: () => cancelled(authority('ca.pem')),
    tls_other_authority: () => refused(() => connected((client) => client.query('SELECT 1'), authority('other-ca.pem'))),
    reader: () => connected((client) => value(client, 'SELECT pg_is_in_recovery() AS v'), { port: place.readerPort }),
};

async function writes() {
    // A pool drops a client that broke and makes another.
    const pool = new pg.Pool({ ...options(), max: 1 });
    pool.on('error', (error) => console.log(`idle: ${error}`));
    await writeOn(async (number) => {
        await pool.query('INSERT INTO writes VALUES ($1, $2, host(inet_server_addr()))', [place.name, number]);
        await sleep(40);
    });
    await pool.end();
}

run({ features: () => printFeatures(features, idle), writes });
