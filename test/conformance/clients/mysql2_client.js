// A Node.js application on mysql2: mysql2_client.js features|writes …
const fs = require('fs');
const mysql = require('mysql2/promise');
const { LARGE_ROWS, SLEEP_S, place, sumOf, sleep, printFeatures, writeOn, refused, run } = require('./common.js');

const LARGE = `SELECT seq, REPEAT(SHA2(seq, 256), 16) AS text FROM seq_1_to_${LARGE_ROWS}`;
// In the condition of a table's rows MySQL tells an interrupted SLEEP as an error, as MariaDB always does.
const LONG = `SELECT seq FROM seq_1_to_${LARGE_ROWS} WHERE SLEEP(${SLEEP_S})`;
const authority = (file) => ({ ssl: { ca: fs.readFileSync(`${place.folder}/${file}`) } });

const options = (more = {}) => ({
    host: place.host, port: place.port, user: 'app', password: process.env.DATABASE_PASSWORD, database: 'orders', connectTimeout: 20000,
    flags: ['LOCAL_FILES'], ...more,
});

async function connected(work, more) {
    const connection = await mysql.createConnection(options(more));
    try {
        return await work(connection);
    } finally {
        connection.destroy();
    }
}

const status = async (connection, name) => (await connection.query(`SHOW SESSION STATUS LIKE '${name}'`))[0][0].Value;

const large = async (connection) => sumOf((await connection.query(LARGE))[0].map((row) => row.text));

async function table(connection) {
    await connection.query(`DROP TABLE IF EXISTS ${place.table}`);
    await connection.query(`CREATE TABLE ${place.table} (id INT PRIMARY KEY, text VARCHAR(200))`);
}

async function prepared(connection) {
    const results = [];
    for (let more = 0; more < 3; more += 1) {
        const [[row]] = await connection.execute('SELECT 6 * 7 + ? AS result', [more]);
        results.push(Number(row.result));
    }
    return results;
}

async function loaded(connection) {
    await table(connection);
    await connection.query({
        sql: `LOAD DATA LOCAL INFILE 'load.tsv' INTO TABLE ${place.table}`,
        infileStreamFactory: (path) => fs.createReadStream(`${place.folder}/${path}`),
    });
    return Number((await connection.query(`SELECT COUNT(*) AS n FROM ${place.table} WHERE text = SHA2(id, 256)`))[0][0].n);
}

async function transaction(connection) {
    await table(connection);
    await connection.beginTransaction();
    await connection.query(`INSERT INTO ${place.table} VALUES (1, 'one'), (2, 'two')`);
    await connection.commit();
    await connection.beginTransaction();
    await connection.query(`INSERT INTO ${place.table} VALUES (3, 'three')`);
    await connection.rollback();
    return (await connection.query(`SELECT id FROM ${place.table} ORDER BY id`))[0].map((row) => row.id);
}

const cancelled = (more) => connected(async (connection) => {
    const began = Date.now();
    setTimeout(() => connected((other) => other.query(`KILL QUERY ${connection.threadId}`), more), 1000);
    try {
        return `not cancelled: ${JSON.stringify((await connection.query(LONG))[0])}`;
    } catch (error) {
        const [[row]] = await connection.query('SELECT 1 AS one');
        return error.errno === 1317 && Date.now() - began < SLEEP_S * 500 && row.one === 1 ? true : String(error);
    }
}, more);

async function idle() {
    const connection = await mysql.createConnection(options());
    const who = async () => JSON.stringify((await connection.query('SELECT CONNECTION_ID(), @@server_id'))[0]);
    const before = await who();
    return async () => {
        const same = (await who()) === before;
        connection.destroy();
        return same;
    };
}

const features = {
    prepared: () => connected(prepared),
    large: () => connected(large),
    loaded: () => connected(loaded),
    transaction: () => connected(transaction),
    cancelled: () => cancelled(),
    compressed: () => connected(async (connection) =>
        ((await status(connection, 'Compression')) === 'ON' ? large(connection) : 'not compressed'), { compress: true }),
    tls: () => connected(async (connection) => (await status(connection, 'Ssl_version')).startsWith('TLS'), authority('ca.pem')),
    tls_large: () => connected(large, authority('ca.pem')),
    tls_cancelled: () => cancelled(authority('ca.pem')),
    tls_other_authority: () => refused(() => connected((connection) => connection.query('SELECT 1'), authority('other-ca.pem'))),
    reader: () => connected(async (connection) =>
        Number((await connection.query('SELECT @@read_only AS r'))[0][0].r) === 1, { port: place.readerPort }),
};

async function writes() {
    // A pool drops a connection that broke and makes another.
    const pool = mysql.createPool({ ...options(), connectionLimit: 1 });
    await writeOn(async (number) => {
        await pool.query('INSERT INTO writes VALUES (?, ?, @@server_id)', [place.name, number]);
        await sleep(40);
    });
    await pool.end();
}

run({ features: () => printFeatures(features, idle), writes });
