// Where workers or WebAssembly are refused the work is done all the same, and it is said.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { computeWorkUnit, createPouwClient } from '../dist/index.js';
import { Limiter, limited, rejection, serve } from './limiter.mjs';
import { run } from './run.mjs';
import { oracle, unit } from './units.mjs';

/** Runs one request and gives what was warned of, as events and on the console. */
async function warned(t, options, { prevent = false } = {}) {
  const { warn } = console;
  const printed = [];
  console.warn = (text) => printed.push(text);
  t.after(() => (console.warn = warn));
  const { limiter, url, client } = await limited(t, createPouwClient, {}, options);
  const codes = [];
  client.addEventListener('warning', (event) => {
    codes.push(event.detail.code);
    if (prevent) event.preventDefault();
  });
  for (let i = 0; i < 2; i++) assert.equal((await client.fetch(url)).status, 200);
  assert.equal(limiter.solved, 2, 'with right hashes');
  console.warn = warn;
  return { codes, printed };
}

function script(t, name, text) {
  const folder = mkdtempSync(join(tmpdir(), 'pouw-js-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, name), text);
  return pathToFileURL(join(folder, name));
}

test('nothing is warned of when all is there', async (t) => {
  assert.deepEqual(await warned(t, {}), { codes: [], printed: [] });
  assert.deepEqual(await warned(t, { worker: false, engine: 'js' }), { codes: [], printed: [] });
});

test('a worker that is missing, refused at once, broken, or mute is done without', async (t) => {
  for (const workerUrl of [
    pathToFileURL('/nonexistent/worker.js'),
    'data:text/javascript,',
    'https://example.invalid/worker.js',
    script(t, 'broken.mjs', 'throw new Error("broken")'),
    script(t, 'gone.mjs', 'process.exit(0)'),
    script(t, 'mute.mjs', 'setInterval(() => {}, 1000)'),
  ]) {
    const { codes, printed } = await warned(t, { workerUrl });
    assert.deepEqual(codes, ['worker_unavailable'], String(workerUrl));
    assert.match(printed.join(), /the worker could not be started.*worker-src 'self'/);
  }
});

test('WebAssembly that is missing, broken, or of another version is replaced by JavaScript', async (t) => {
  for (const worker of [true, false]) {
    for (const wasmUrl of [
      pathToFileURL('/nonexistent/pouw.wasm'),
      script(t, 'page.wasm', '<!doctype html>'),
      script(t, 'other.wasm', Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)),
      `${await serve(t, (_, response) => response.writeHead(404).end('<h1>Not Found</h1>'))}/pouw.wasm`,
    ]) {
      const { codes, printed } = await warned(t, { wasmUrl, worker });
      assert.deepEqual(codes, ['wasm_unavailable'], String(wasmUrl));
      assert.match(printed.join(), /JavaScript hashes instead.*wasm-unsafe-eval/);
    }
  }
});

test('WebAssembly that a policy refuses, or that is not there, is replaced by JavaScript', async (t) => {
  const { WebAssembly } = globalThis;
  t.after(() => (globalThis.WebAssembly = WebAssembly));
  const refuse = async () => {
    throw new WebAssembly.CompileError('Refused to compile: unsafe-eval is not an allowed source');
  };
  for (const replacement of [undefined, { ...WebAssembly, compile: refuse, instantiate: refuse }]) {
    globalThis.WebAssembly = replacement;
    const warnings = [];
    const asked = unit();
    const result = await computeWorkUnit(asked, { onWarning: ({ code }) => warnings.push(code) });
    assert.equal(result.resultHash, oracle(asked).resultHash);
    assert.deepEqual(warnings, ['wasm_unavailable']);
    assert.deepEqual((await warned(t, { worker: false })).codes, ['wasm_unavailable']);
    const { error } = await rejection(computeWorkUnit(asked, { engine: 'wasm' }));
    assert.equal(error.code, 'solver_failed');
  }
});

test('preventDefault and quiet keep warnings off the console', async (t) => {
  const wasmUrl = pathToFileURL('/nonexistent/pouw.wasm');
  const codes = ['wasm_unavailable'];
  assert.deepEqual(await warned(t, { wasmUrl, quiet: true }), { codes, printed: [] });
  assert.deepEqual(await warned(t, { wasmUrl }, { prevent: true }), { codes, printed: [] });
});

test('a solver that fails is a typed rejection', async (t) => {
  const { url, client } = await limited(
    t,
    createPouwClient,
    {},
    {
      engine: 'wasm',
      wasmUrl: pathToFileURL('/nonexistent/pouw.wasm'),
    },
  );
  const { error } = await rejection(client.fetch(url));
  assert.equal(error.code, 'solver_failed');
});

test('a process ends by itself after close, after pouwFetch, and when every request was rejected', async (t) => {
  const limiter = new Limiter();
  const url = await serve(t, limiter.handler);
  const through = `const client = createPouwClient(); console.log((await client.fetch(url)).status);`;
  assert.deepEqual(await run(url, `${through} client.close();`), [0, '200']);
  assert.deepEqual(await run(url, through), [0, '200'], 'an idle worker does not hold it either');
  assert.deepEqual(await run(url, 'console.log((await pouwFetch(url)).status)'), [0, '200']);
  const closing = `const client = createPouwClient();
    const all = Promise.allSettled([1, 2, 3].map(() => client.fetch(url)));
    client.addEventListener('challenge', () => client.close());
    console.log((await all).map(({ reason }) => reason?.code).join());`;
  assert.deepEqual(await run(url, closing), [0, 'closed,closed,closed']);
  const declining = `const client = createPouwClient({ confirm: () => false });
    await client.fetch(url).catch(({ code }) => console.log(code)); client.close();`;
  assert.deepEqual(await run(url, declining), [0, 'declined']);
});
