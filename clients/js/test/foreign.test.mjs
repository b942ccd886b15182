// Other implementations of fetch, and bodies that never end.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { createPouwClient } from '../dist/index.js';
import { limited, rejection, serve } from './limiter.mjs';
import { run } from './run.mjs';

/** A response of another class, with as much of the interface as some implementations have. */
class Foreign {
  constructor(response, body) {
    this.#response = response;
    Object.assign(this, { status: response.status, headers: response.headers, body });
  }
  #response;
  text = () => this.#response.text();
  json = () => this.#response.json();
}

/** With web streams, as undici from npm. */
const undici = (response) =>
  Object.assign(new Foreign(response, response.body), { clone: () => undici(response.clone()) });
/** With streams of Node, as node-fetch. */
const nodeFetch = (response) =>
  Object.assign(new Foreign(response, Readable.from([new TextEncoder().encode(response.text_)])), {
    clone: () => nodeFetch(response),
  });
/** With nothing but methods, as many a mock. */
const mock = (response) => Object.assign(new Foreign(response), { clone: () => mock(response.clone()) });

for (const [name, wrap] of Object.entries({ undici, nodeFetch, mock })) {
  test(`a fetch with responses of another class gets through: ${name}`, async (t) => {
    const through = async (...request) => {
      const response = await fetch(...request);
      if (wrap !== nodeFetch) return wrap(response);
      const text_ = await response.text();
      return wrap(Object.assign(new Response(text_, response), { text_ }));
    };
    const { limiter, url, client } = await limited(t, createPouwClient, {}, { fetch: through });
    let accepted = 0;
    client.addEventListener('accepted', () => accepted++);
    const response = await client.fetch(url, { method: 'POST', body: 'x' });
    assert.ok(response instanceof Foreign);
    assert.deepEqual([response.status, await response.text()], [200, 'hello x']);
    assert.deepEqual([limiter.solved, accepted], [1, 1]);
  });
}

/** A server whose 429 never ends; `closed` when the client has let go of it. */
async function stalling(t, first = () => false) {
  let told;
  const closed = new Promise((resolve) => (told = resolve));
  const url = await serve(t, (request, response) => {
    if (first(request, response)) return;
    response.writeHead(429, { 'Content-Type': 'application/problem+json' });
    response.write('{');
    request.socket.once('close', () => told('closed'));
  });
  return { url, closed };
}

test('a 429 whose body never ends is let go at the deadline, on close, and with the signal', async (t) => {
  for (const end of ['deadline', 'close', 'abort', 'deadline while held back']) {
    const { url, closed } = await stalling(t);
    const client = createPouwClient({ deadlineMs: end.startsWith('deadline') ? 200 : 5_000 });
    t.after(() => client.close());
    const own = new AbortController();
    const promises = [rejection(client.fetch(url, { signal: own.signal }))];
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (end === 'deadline while held back') promises.push(rejection(client.fetch(url)));
    if (end === 'close') client.close();
    if (end === 'abort') own.abort(new Error('no more'));
    for (const { error } of await Promise.all(promises)) {
      assert.equal(error.code ?? error.message, { close: 'closed', abort: 'no more' }[end] ?? 'deadline');
    }
    const late = new Promise((resolve) => setTimeout(resolve, 2_000, 'still open'));
    assert.equal(await Promise.race([closed, late]), 'closed', end);
  }
});

test('a process ends by itself after a 429 whose body never ends', async (t) => {
  const { url } = await stalling(t);
  const lines = `const client = createPouwClient({ deadlineMs: 200 });
    await client.fetch(url).catch(({ code }) => console.log(code)); client.close();`;
  assert.deepEqual(await run(url, lines), [0, 'deadline']);
});

test('a stream of Node that never ends is destroyed at the deadline', async (t) => {
  const bodies = [];
  const answer = () => {
    const body = new Readable({ read() {} });
    bodies.push(body);
    const headers = new Headers({ 'Content-Type': 'application/problem+json' });
    return { status: 429, headers, body, clone: answer };
  };
  const client = createPouwClient({ deadlineMs: 100, fetch: async () => answer() });
  t.after(() => client.close());
  assert.equal((await rejection(client.fetch('http://127.0.0.1/'))).error.code, 'deadline');
  await Promise.all(bodies.map((body) => body.closed || once(body, 'close')));
  assert.equal(bodies.length, 2);
});

test('refusals that were answered are let go, the one in an error is not', async (t) => {
  const cancelled = [];
  const through = async (...request) => {
    const response = await fetch(...request);
    // Cancelling goes by the original: a copy is read to its end.
    const { body } = response;
    const cancel = body?.cancel.bind(body);
    const { status } = response;
    Object.defineProperty(response, 'body', {
      get: () =>
        new Proxy(body, {
          get: (target, name) => {
            if (name !== 'cancel') return Reflect.get(target, name, target);
            return () => (cancelled.push(status), cancel());
          },
        }),
    });
    return response;
  };
  const { url, client } = await limited(t, createPouwClient, {}, { fetch: through });
  assert.equal((await client.fetch(url)).status, 200);
  assert.deepEqual(cancelled, [429]);
  const declining = createPouwClient({ fetch: through, maxCost: { bytes: 0 } });
  t.after(() => declining.close());
  const { error } = await rejection(declining.fetch(url));
  assert.equal(error.code, 'too_expensive');
  assert.deepEqual(cancelled, [429]);
});
