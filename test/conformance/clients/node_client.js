// A Node.js application on mysql2: node_client.js HOST PORT PASSWORD basics|failover TABLE. Prints one JSON object.
const fs = require('fs');
const mysql = require('mysql2/promise');

const [host, port, password, mode, table] = process.argv.slice(2);
const largeRows = 50000;
const writesMs = 8000;

const connect = () =>
    mysql.createConnection({
        host, port: Number(port), user: 'app', password, database: 'orders', connectTimeout: 20000,
        flags: ['LOCAL_FILES'], infileStreamFactory: (path) => fs.createReadStream(path),
    });

async function basics() {
    const connection = await connect();
    await connection.query(`CREATE OR REPLACE TABLE ${table} (id INT PRIMARY KEY, text VARCHAR(200))`);
    const [[row]] = await connection.execute('SELECT ? * 7 AS product', [6]);
    const [large] = await connection.query(`SELECT seq, REPEAT('y', 100) AS y FROM seq_1_to_${largeRows}`);
    const file = `/tmp/${table}-${process.pid}.csv`;
    fs.writeFileSync(file, '10,a\n11,b\n12,c\n');
    await connection.query({
        sql: `LOAD DATA LOCAL INFILE '${file}' INTO TABLE ${table} FIELDS TERMINATED BY ','`,
        infileStreamFactory: (path) => fs.createReadStream(path),
    });
    fs.unlinkSync(file);
    const [[{ n }]] = await connection.query(`SELECT COUNT(*) AS n FROM ${table}`);
    await connection.query(`DELETE FROM ${table}`);
    await connection.beginTransaction();
    await connection.query(`INSERT INTO ${table} VALUES (1, 'one'), (2, 'two')`);
    await connection.commit();
    await connection.beginTransaction();
    await connection.query(`INSERT INTO ${table} VALUES (3, 'three')`);
    await connection.rollback();
    const [rows] = await connection.query(`SELECT id FROM ${table} ORDER BY id`);
    await connection.end();
    return { prepared: Number(row.product), rows: large.length, loaded: n, transaction: rows.map((r) => r.id) };
}

async function failover() {
    const open = async () => {
        const opened = await connect();
        // Without a listener, a connection that is cut while idle would end the program.
        opened.on('error', () => {});
        return opened;
    };
    let connection = await open();
    await connection.query(`CREATE OR REPLACE TABLE ${table} (id INT PRIMARY KEY, server INT)`);
    const acknowledged = [];
    let reconnects = 0;
    const deadline = Date.now() + writesMs;
    for (let number = 1; Date.now() < deadline; number += 1) {
        try {
            await connection.query(`INSERT INTO ${table} VALUES (?, @@server_id)`, [number]);
            acknowledged.push(number);
            await new Promise((done) => setTimeout(done, 5));
        } catch {
            reconnects += 1;
            try {
                connection = await open();
            } catch {
                await new Promise((done) => setTimeout(done, 50));
            }
        }
    }
    const [rows] = await connection.query(`SELECT id, server FROM ${table}`);
    await connection.end();
    return { acknowledged, found: rows.map((r) => r.id), reconnects, servers: [...new Set(rows.map((r) => r.server))].sort() };
}

(mode === 'basics' ? basics() : failover()).then(
    (result) => console.log(JSON.stringify(result)),
    (error) => { console.error(error); process.exit(1); });
