// What the Node.js programs of the conformance share; see common.py.
const crypto = require('crypto');
const fs = require('fs');

const IDLE_MS = 5000;
const [action, host, port, readerPort, folder, name] = process.argv.slice(2);
const place = { host, port: Number(port), readerPort: Number(readerPort), folder, name, table: `t_${name.replaceAll('-', '_')}` };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function sumOf(texts) {
    const whole = crypto.createHash('sha256');
    for (const text of texts) {
        whole.update(text);
    }
    return whole.digest('hex');
}

async function printFeatures(features, idle) {
    const results = {};
    const note = async (feature, work) => {
        try {
            results[feature] = await work();
        } catch (error) {
            results[feature] = String(error && error.stack);
        }
    };
    const works = await idle();
    const since = Date.now();
    for (const [feature, work] of Object.entries(features)) {
        await note(feature, work);
    }
    await sleep(Math.max(0, IDLE_MS - (Date.now() - since)));
    await note('idle', works);
    console.log(JSON.stringify(results));
}

async function refused(work) {
    try {
        await work();
    } catch (error) {
        return /certificate/i.test(String(error)) ? 'refused' : `another error: ${error}`;
    }
    return 'accepted';
}

// insert(number) resolves when the number is acknowledged. A number is never tried twice.
async function writeOn(insert) {
    const acknowledged = fs.openSync(`${folder}/${name}.acknowledged`, 'w');
    for (let number = 1; !fs.existsSync(`${folder}/stop`); number += 1) {
        try {
            await insert(number);
            fs.writeSync(acknowledged, `${number}\n`);
        } catch (error) {
            console.log(`${number}: ${error}`);
            await sleep(100);
        }
    }
}

function run(actions) {
    actions[action]().catch((error) => {
        console.error(error);
        process.exit(1);
    });
}

module.exports = { LARGE_ROWS: 20000, SLEEP_S: 30, place, sleep, sumOf, printFeatures, refused, writeOn, run };
