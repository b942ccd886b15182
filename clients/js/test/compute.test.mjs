import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromBase64, toBase64Url, toHex } from '../dist/bytes.js';
import { jsEngine } from '../dist/engine-js.js';
import { wasmEngine } from '../dist/engine-wasm.js';
import { computeWorkUnit, toCompact } from '../dist/index.js';
import { validateUnit } from '../dist/validate.js';
import { nodes, oracle, subtree, unit } from './units.mjs';

const engines = ['wasm', 'js'];

for (const engine of engines) {
  test(`${engine}: the hash of abc is the known one, with all members of the wire format`, async () => {
    const asked = unit();
    const result = await computeWorkUnit(asked, { engine });
    assert.match(result.resultHash, /^b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e/);
    assert.deepEqual(Object.keys(result), [
      'workUnitId',
      'resultHash',
      'challengeToken',
      'computeTimeMs',
      'completedAt',
    ]);
    assert.equal(result.workUnitId, asked.id);
    assert.equal(result.challengeToken, asked.challengeToken);
    assert.ok(Number.isInteger(result.computeTimeMs));
    assert.match(result.completedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  test(`${engine}: ranges, ragged ones and lone leaves are hashed as an independent implementation does`, async () => {
    for (const [count, foldLevels] of [
      [32, 5],
      [16, 4],
      [3, 2],
      [1, 5],
      [1, 0],
      [5, 3],
      [31, 5],
      [2, 40],
    ]) {
      const leaves = Array.from({ length: count }, (_, i) => randomBytes(i === count - 1 ? 17 : 512));
      const asked = subtree(leaves, foldLevels);
      const { resultHash, leafHashes } = await computeWorkUnit(asked, { engine });
      assert.deepEqual({ resultHash, leafHashes }, oracle(asked), `${count} leaves, ${foldLevels} steps`);
    }
  });

  test(`${engine}: interior nodes, empty leaves and a megabyte`, async () => {
    const asked = [
      unit({ operation: 'interior_hash', inputData: randomBytes(128).toString('base64'), childCount: 2 }),
      unit({ operation: 'interior_hash', inputData: randomBytes(64).toString('base64'), childCount: 1 }),
      unit({ inputData: '' }),
      unit({ inputData: randomBytes(1 << 20).toString('base64') }),
      subtree([randomBytes(0), randomBytes(0), randomBytes(71), randomBytes(72)], 2),
    ];
    for (const one of asked) {
      const { resultHash, leafHashes } = await computeWorkUnit(one, { engine });
      assert.deepEqual({ resultHash, leafHashes }, oracle(one));
    }
  });

  test(`${engine}: units at the same time do not disturb each other`, async () => {
    const asked = Array.from({ length: 8 }, () =>
      subtree(
        Array.from({ length: 16 }, () => randomBytes(9000)),
        4,
      ),
    );
    const results = await Promise.all(asked.map((one) => computeWorkUnit(one, { engine })));
    results.forEach(({ resultHash }, i) => assert.equal(resultHash, oracle(asked[i]).resultHash));
  });
}

test('runs of one engine, piece by piece in turn, do not disturb each other', async () => {
  const module = await WebAssembly.compile(readFileSync(new URL('../dist/pouw.wasm', import.meta.url)));
  for (const engine of [await wasmEngine(module), jsEngine]) {
    for (let round = 0; round < 2; round++) {
      const asked = [1, 2, 3].map(() =>
        subtree(
          Array.from({ length: 9 }, () => randomBytes(30_000)),
          4,
        ),
      );
      const runs = await Promise.all(asked.map((one) => engine.begin(validateUnit(one))));
      while (runs.some(({ done }) => done < nodes(9, 4)))
        runs.filter(({ done }) => done < nodes(9, 4)).forEach((run) => run.step());
      runs.forEach((run, i) => {
        const { top, leaves } = run.finish();
        const right = oracle(asked[i]);
        assert.equal(toHex(top), right.resultHash);
        assert.equal(toHex(leaves), right.leafHashes.join(''));
      });
    }
  }
});

test('progress grows and ends with all nodes', async () => {
  const asked = subtree(
    Array.from({ length: 32 }, () => randomBytes(30_000)),
    5,
  );
  for (const engine of engines) {
    const told = [];
    await computeWorkUnit(asked, { engine, onProgress: (progress) => told.push(progress) });
    assert.deepEqual(told.at(-1), { done: 63, total: 63 });
    told.forEach(({ done }, i) => assert.ok(i === 0 || done > told[i - 1].done));
    if (engine === 'js') assert.ok(told.length > 2, 'a megabyte in JavaScript takes several slices');
  }
});

test('the event loop turns while a unit is hashed', async () => {
  const asked = unit({ inputData: randomBytes(1 << 20).toString('base64') });
  let turns = 0;
  let working = true;
  const turn = () => working && (turns++, setImmediate(turn));
  setImmediate(turn);
  await computeWorkUnit(asked, { engine: 'js' });
  working = false;
  assert.ok(turns > 2, `${turns} turns`);
});

test('a signal stops the work with its reason', async () => {
  const asked = unit({ inputData: randomBytes(1 << 20).toString('base64') });
  const reason = new Error('enough');
  const signal = AbortSignal.abort(reason);
  await assert.rejects(computeWorkUnit(asked, { signal }), reason);
  const later = new AbortController();
  setImmediate(() => later.abort(reason));
  await assert.rejects(computeWorkUnit(asked, { signal: later.signal, engine: 'js' }), reason);
});

test('the compact form is that of the worked example', () => {
  const result = {
    workUnitId: '018bcfe5-687b-7707-8707-070707070707',
    resultHash: oracle(unit()).resultHash,
    challengeToken: 'the-token-as-issued',
    computeTimeMs: 2,
    completedAt: '2023-11-14T22:13:22Z',
  };
  const header =
    'AQGLz-Voe3cHhwcHBwcHBwe3UYULGlcWilaTzZJLawluCPYhgnRE9w2IT10CQNJxLhDhFukZKvPJGn7Fdkfjk0BXNAtM9AjVpWWS-CdO7FPw' +
    'AgAAAAAAAADQb-XPiwEAAAA';
  assert.equal(toCompact(result), header);
  const many = { ...result, leafHashes: Array(32).fill(result.resultHash) };
  assert.equal(toCompact(many).length, 2862);
});

test('base64 is read strictly, and url text written without padding', () => {
  for (let length = 0; length < 70; length++) {
    const bytes = randomBytes(length);
    assert.deepEqual(Buffer.from(fromBase64(bytes.toString('base64'))), bytes);
    assert.equal(toBase64Url(bytes), bytes.toString('base64url'));
  }
  for (const text of [
    'A',
    'AA',
    'AAA',
    'AAA*',
    'AA=A',
    '====',
    'AB==',
    'AAB=',
    'AA ==',
    'A-_=',
    'AA==AAAA',
    'AAA\u00e4',
  ]) {
    assert.equal(fromBase64(text), undefined, text);
  }
});
