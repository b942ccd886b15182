// Clocks, timers, signals, and the end of a client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPouwClient } from '../dist/index.js';
import { limited, rejection } from './limiter.mjs';

test('a clock that is a day off changes nothing', async (t) => {
  const now = Date.now;
  t.after(() => (Date.now = now));
  for (const off of [-86_400_000, 86_400_000, -now() - 1, 1e15]) {
    Date.now = () => now() + off;
    const { limiter, url, client } = await limited(t, createPouwClient, { waitMs: 50 });
    assert.equal((await client.fetch(url)).status, 200);
    assert.deepEqual([limiter.solved, limiter.early], [1, 0]);
  }
});

test("a request's own signal ends every stage with its reason, and others go on", async (t) => {
  const reason = new Error('changed my mind');
  const { url, client } = await limited(t, createPouwClient, { waitMs: 400 });
  const first = client.fetch(url);
  await new Promise((resolve) => client.addEventListener('challenge', resolve, { once: true }));
  const inQueue = new AbortController();
  const queued = client.fetch(url, { signal: inQueue.signal });
  inQueue.abort(reason);
  assert.equal((await rejection(queued)).error, reason);
  const afterIt = client.fetch(url);
  assert.equal((await first).status, 200);
  assert.equal((await afterIt).status, 200);

  const waiting = new AbortController();
  client.addEventListener('solved', () => waiting.abort(reason), { once: true });
  assert.equal((await rejection(client.fetch(url, { signal: waiting.signal }))).error, reason);
  assert.equal((await rejection(client.fetch(url, { signal: AbortSignal.abort(reason) }))).error, reason);
  assert.equal((await client.fetch(url)).status, 200);
});

test('close rejects what is under way; responses that were handed out stay good', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, { waitMs: 10_000 });
  limiter.rate = 1;
  const response = await client.fetch(url);
  const under = [client.fetch(url), client.fetch(url)];
  await new Promise((resolve) => client.addEventListener('challenge', resolve, { once: true }));
  client.close();
  for (const promise of under) assert.equal((await rejection(promise)).error.code, 'closed');
  assert.equal(await response.text(), 'hello ');
});

test('timers that fire late, or far too early, do not make an answer come too early', async (t) => {
  const { setTimeout: real } = globalThis;
  t.after(() => (globalThis.setTimeout = real));
  for (const distort of [(ms) => Math.max(ms, 1_000), () => 0]) {
    globalThis.setTimeout = (callback, ms, ...args) => real(callback, ms < 5_000 ? distort(ms) : ms, ...args);
    const { limiter, url, client } = await limited(t, createPouwClient, { waitMs: 200 });
    assert.equal((await client.fetch(url)).status, 200);
    assert.deepEqual([limiter.solved, limiter.early], [1, 0]);
    globalThis.setTimeout = real;
  }
});
