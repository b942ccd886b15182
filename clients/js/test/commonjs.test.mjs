// The package for `require`, as old code and test runners load it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createContext, Script } from 'node:vm';
import * as modules from '../dist/index.js';
import { Limiter, serve } from './limiter.mjs';

const require = createRequire(import.meta.url);
const path = (name) => fileURLToPath(new URL(`../dist/${name}`, import.meta.url));

/** Gets a request through with a worker and WebAssembly. */
async function through(t, { createPouwClient }) {
  const limiter = new Limiter({ waitMs: 30 });
  const url = await serve(t, limiter.handler);
  const client = createPouwClient({ quiet: true });
  t.after(() => client.close());
  const warnings = [];
  client.addEventListener('warning', ({ detail }) => warnings.push(detail.message));
  const response = await client.fetch(url, { method: 'POST', body: 'x' });
  assert.equal(await response.text(), 'hello x');
  assert.deepEqual(warnings, [], 'the worker and the module were found');
}

test('require gives what import gives, and its worker and WebAssembly work', async (t) => {
  const required = require('pouw');
  assert.deepEqual(Object.keys(required).toSorted(), Object.keys(modules).toSorted());
  assert.ok(require.resolve('pouw').endsWith('index.cjs'));
  assert.equal(typeof require('pouw/element').definePouwProgress, 'function');
  await through(t, required);
});

test('it needs no Node that can require modules', () => {
  const script = "console.log(typeof require('pouw').pouwFetch, typeof require('pouw/element').english)";
  const args = ['--no-experimental-require-module', '-e', script];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
  });
  assert.equal(stdout, 'function object\n', stderr);
});

test('it works where a test runner wraps it in a realm of its own', async (t) => {
  const text = readFileSync(path('index.cjs'), 'utf8');
  const { CustomEvent, Event, EventTarget, TextDecoder, TextEncoder } = globalThis;
  const { AbortController, AbortSignal, Headers, MessageChannel, Request, Response } = globalThis;
  const { URL, atob, clearTimeout, console, fetch, performance, setImmediate, setTimeout } = globalThis;
  const realm = createContext({
    ...{ CustomEvent, Event, EventTarget, TextDecoder, TextEncoder },
    ...{ AbortController, AbortSignal, Headers, MessageChannel, Request, Response },
    ...{ URL, atob, clearTimeout, console, fetch, performance, setImmediate, setTimeout },
  });
  const wrapped = `(function (exports, require, module, __filename) {${text}\n})`;
  const module = { exports: {} };
  new Script(wrapped).runInContext(realm)(module.exports, require, module, path('index.cjs'));
  await through(t, module.exports);
});
