// Programs that know nothing of challenges and wait as Retry-After says, against the real server.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { request as send } from 'node:http';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import axios from 'axios';
import axiosRetry from 'axios-retry';
import got from 'got';
import ky from 'ky';
import { Agent, RetryAgent, request } from 'undici';
import { serve } from './limiter.mjs';
import { start } from './server.mjs';

const { POUW_BIN } = process.env;
const run = promisify(execFile);

const URLLIB3 = `
import sys, urllib3
retry = urllib3.Retry(total=3, status_forcelist=[429])
print(urllib3.PoolManager(retries=retry).request('GET', sys.argv[1]).status)
`;

/** Whether a program runs. */
const runs = (file, ...words) =>
  run(file, words).then(
    () => true,
    () => false,
  );
const hasCurl = await runs('curl', '--version');
const hasUrllib3 = await runs('python3', '-c', 'import urllib3');

/** Each as its documentation has it, with the status that it ends with. */
const CLIENTS = {
  got: async (url) => (await got(url)).statusCode,
  ky: async (url) => (await ky(url)).status,
  'axios with axios-retry': async (url) => {
    const client = axios.create();
    axiosRetry(client);
    return (await client.get(url)).status;
  },
  "undici's RetryAgent": async (url) => {
    const dispatcher = new RetryAgent(new Agent());
    const { statusCode, body } = await request(url, { dispatcher });
    await body.text();
    await dispatcher.close();
    return statusCode;
  },
  'curl --retry': async (url) => {
    const { stdout } = await run('curl', ['-sS', '--retry', '3', '-w', '\n%{http_code}', url]);
    return Number(stdout.split('\n').at(-1));
  },
  "Python's urllib3.Retry": async (url) => Number((await run('python3', ['-c', URLLIB3, url])).stdout),
};

const missing = {
  'curl --retry': hasCurl ? false : 'curl is not installed',
  "Python's urllib3.Retry": hasUrllib3 ? false : 'python3 with urllib3 is not installed',
};

/** A proxy that passes everything on and notes down the status of each response. */
async function watched(t, target) {
  const statuses = [];
  const url = await serve(t, ({ method, url, headers }, response) => {
    const onward = send(
      new URL(url, target),
      { method, headers: { ...headers, connection: 'close' } },
      (got) => {
        statuses.push(got.statusCode);
        response.writeHead(got.statusCode, got.headers);
        got.pipe(response);
      },
    );
    onward.end();
  });
  return { url, statuses };
}

for (const lifetime of [60, 1]) {
  // The time to wait is that of the window, however long a challenge lives.
  const settings = `rate_limit = 2\nwindow_ms = 3_000\ntoken_ttl_seconds = ${lifetime}\nfloor_ms = [50, 50, 50]\n`;

  describe(`through at the first repetition, challenges live for ${lifetime} s`, { concurrency: 6 }, () => {
    for (const [name, get] of Object.entries(CLIENTS)) {
      const skip = POUW_BIN
        ? (missing[name] ?? false)
        : 'POUW_BIN does not name a pouw with the feature serve';

      test(name, { skip }, async (t) => {
        const server = await start(t, POUW_BIN, { settings });
        const { url, statuses } = await watched(t, server.url);
        for (let i = 0; i < 2; i++) assert.equal((await fetch(`${server.url}/hello`)).status, 200);
        const started = performance.now();
        assert.equal(await get(`${url}/hello`), 200);
        const ms = performance.now() - started;
        assert.deepEqual(statuses, [429, 200], `in ${ms} ms`);
        assert.ok(ms < 20_000, `${ms} ms, in a window of three seconds`);
        // It waited, which is no violation: the next challenge is of the lowest tier.
        let refused;
        for (let i = 0; i < 3 && refused?.status !== 429; i++) refused = await fetch(`${server.url}/hello`);
        assert.equal(refused.status, 429);
        assert.equal((await refused.json()).workUnit.difficulty, 'low');
      });
    }
  });
}
