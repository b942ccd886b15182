// A client that knows nothing but the paper: hash `inputData` with SHA3-512, send `resultHash` back with the token in
// the body's `workResult`. Nothing of this package is in it. POUW_BIN names a `pouw` built with the feature `serve`.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { start } from './server.mjs';

const { POUW_BIN } = process.env;
const skip = POUW_BIN ? false : 'POUW_BIN does not name a pouw with the feature serve';

/** Sends the request, and if it is over the limit computes and sends it again; gives both responses and the wait. */
async function throughTheLimit(url) {
  const method = 'POST';
  const payload = { note: 'my own payload' };
  const headers = { 'Content-Type': 'application/json' };
  const limited = await fetch(url, { method, headers, body: JSON.stringify(payload) });
  const { workUnit } = await limited.json();
  const answer = () => {
    const data = Buffer.from(workUnit.inputData, 'base64');
    const workResult = {
      workUnitId: workUnit.id,
      resultHash: createHash('sha3-512').update(data).digest('hex'),
      challengeToken: workUnit.challengeToken,
    };
    return fetch(url, {
      method,
      headers: { ...headers, 'X-PoUW-Response': workUnit.challengeToken },
      body: JSON.stringify({ ...payload, workResult }),
    });
  };
  const started = performance.now();
  const waits = [];
  let response = await answer();
  while (response.status === 429 && waits.length < 3) {
    waits.push(Number(response.headers.get('retry-after')));
    await new Promise((resolve) => setTimeout(resolve, waits.at(-1) * 1000));
    response = await answer();
  }
  return { limited, workUnit, response, waits, ms: performance.now() - started };
}

async function lowTier(t, ...options) {
  const { url } = await start(t, POUW_BIN, { options: ['--rate', '1', ...options] });
  assert.equal((await fetch(`${url}/hello`)).status, 200);
  const { limited, workUnit, response, waits, ms } = await throughTheLimit(`${url}/echo`);
  assert.equal(limited.status, 429);
  assert.deepEqual([workUnit.difficulty, workUnit.operation], ['low', 'leaf_hash']);
  assert.equal(response.status, 200, await response.clone().text());
  assert.equal(response.headers.get('x-pouw-accepted'), 'true');
  assert.equal((await response.json()).note, 'my own payload');
  return { waits, ms };
}

test('at Low difficulty and a floor of 0 the client of the paper passes at once', { skip }, async (t) => {
  const { waits } = await lowTier(t, '--floor', '0,0,0');
  assert.deepEqual(waits, []);
});

test('with the default floor it passes on the attempt after Retry-After', { skip }, async (t) => {
  const { waits, ms } = await lowTier(t);
  assert.deepEqual(waits, [2]);
  assert.ok(ms >= 1_450, `${ms} ms`);
});
