// Event streams and web sockets over the limit, where there is no browser: with headers in place of cookies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocket } from 'undici';
import { pouwEventSource, pouwWebSocket } from '../dist/index.js';
import { rejection, serve } from './limiter.mjs';
import { clientFor, next, open, openSource, streams, ws } from './streams.mjs';

test('a web socket under the limit is opened directly, with its protocol', async (t) => {
  const { limiter, url } = await streams(t, { rate: 1 });
  const { client, names } = clientFor(t);
  const socket = await client.webSocket(ws(url), ['chat'], { open });
  assert.deepEqual([socket.readyState, socket.protocol, socket instanceof WebSocket], [1, 'chat', true]);
  assert.equal((await next(socket, 'message')).data, 'first', 'it came with the opening');
  socket.send('echo');
  assert.equal((await next(socket, 'message')).data, 'echo');
  assert.deepEqual([limiter.log, names()], [['socket - true'], []]);
  socket.close();
});

test('a web socket over the limit is opened after one challenge, once the wait is over', async (t) => {
  const { limiter, url } = await streams(t, { waitMs: 120 });
  const { client, events, names } = clientFor(t);
  const socket = await client.webSocket(ws(url), [], { open });
  assert.equal((await next(socket, 'message')).data, 'first');
  assert.deepEqual(limiter.log, ['socket - false', 'challenge - false', 'socket header true']);
  assert.deepEqual([limiter.early, names()], [0, ['challenge', 'solved', 'accepted']]);
  assert.equal(events[0][1].url, ws(url));
  socket.close();
  const alone = await pouwWebSocket(ws(url), [], { open });
  assert.equal((await next(alone, 'message')).data, 'first', 'the client is closed, the socket is not');
  alone.close();
});

test('sockets of one client take their turns, and a pass opens them without more work', async (t) => {
  const { limiter, url } = await streams(t, { waitMs: 30 });
  const { client } = clientFor(t);
  const sockets = await Promise.all(Array.from({ length: 3 }, () => client.webSocket(ws(url), [], { open })));
  assert.equal(limiter.solved, 3);
  limiter.buys = [3, 60];
  await client.fetch(`${url}/page`);
  limiter.log.length = 0;
  for (let i = 0; i < 2; i++) sockets.push(await client.webSocket(ws(url), [], { open }));
  assert.deepEqual([limiter.solved, limiter.log], [4, ['socket - true', 'socket - true']]);
  for (const socket of sockets) socket.close();
});

test('without work the wait is that of Retry-After, within the deadline', async (t) => {
  const { limiter, url } = await streams(t);
  limiter.reason = 'budget';
  const { client, names } = clientFor(t);
  client.addEventListener('waiting', () => (limiter.rate = 1));
  const socket = await client.webSocket(ws(url), [], { open });
  assert.deepEqual(limiter.log, ['socket - false', 'challenge - false', 'socket - true']);
  assert.deepEqual(names(), ['waiting']);
  socket.close();
  limiter.retryAfter = 60;
  const short = clientFor(t, { deadlineMs: 10_000 });
  const { error } = await rejection(short.client.webSocket(ws(url), [], { open }));
  assert.deepEqual([error.code, error.reason, short.names()], ['deadline', 'budget', ['failed']]);
});

test('an answer that does not open it is tried with one more challenge, and then given up', async (t) => {
  const { limiter, url } = await streams(t);
  const { judge } = limiter;
  limiter.judge = () => {};
  const never = clientFor(t);
  const { error } = await rejection(never.client.webSocket(ws(url), [], { open }));
  assert.deepEqual(
    [error.code, error.reason, never.names().filter((name) => name === 'solved').length],
    ['gave_up', 'work_required', 2],
  );
  let judged = 0;
  limiter.judge = (...words) => (judged++ === 0 ? undefined : judge.call(limiter, ...words));
  const once = clientFor(t);
  (await once.client.webSocket(ws(url), [], { open })).close();
  assert.equal(judged, 2);
});

test('a socket that the limit has nothing to do with is distinguished', async (t) => {
  const url = await serve(t, (_, response) => response.writeHead(404).end('no such place'));
  const { client, names } = clientFor(t);
  const { error } = await rejection(client.webSocket(ws(url), [], { open }));
  assert.deepEqual([error.code, error.status, names()], ['not_opened', 404, ['failed']]);
  const other = await serve(t, (_, response) => response.writeHead(429).end('of another limiter'));
  const foreign = await rejection(client.webSocket(ws(other), [], { open }));
  assert.deepEqual([foreign.error.code, foreign.error.status], ['not_opened', 429]);
});

test('a signal, and the end of the client, end the opening', async (t) => {
  const { limiter, url } = await streams(t, { waitMs: 30_000 });
  const { client, names } = clientFor(t, { deadlineMs: 120_000 });
  limiter.open = { size: 0, get: () => undefined, set: () => {} };
  const own = new AbortController();
  client.addEventListener('solved', () => own.abort(new Error('mine')));
  const { error } = await rejection(client.webSocket(ws(url), [], { open, signal: own.signal }));
  assert.equal(error.message, 'mine');
  client.addEventListener('challenge', () => client.close());
  assert.equal((await rejection(client.webSocket(ws(url), [], { open }))).error.code, 'closed');
  assert.equal((await rejection(client.webSocket(ws(url), [], { open }))).error.code, 'closed');
  assert.deepEqual(names(), ['challenge', 'solved', 'failed', 'challenge', 'failed']);
  // While it connects for the first time.
  const silent = await serve(t, () => {});
  const waiting = clientFor(t).client;
  const opening = rejection(waiting.webSocket(ws(silent), [], { open }));
  waiting.close();
  assert.equal((await opening).error.code, 'closed');
});

test('without a class for it the error says what is missing', async (t) => {
  const { url } = await streams(t, { rate: 9 });
  const { WebSocket: usual } = globalThis;
  t.after(() => (globalThis.WebSocket = usual));
  delete globalThis.WebSocket;
  const { client } = clientFor(t);
  const { error } = await rejection(client.webSocket(ws(url)));
  assert.deepEqual([error.code, /the option `open`/.test(error.message)], ['unsupported', true]);
  // As Node has it from version 22 on.
  globalThis.WebSocket = WebSocket;
  (await client.webSocket(ws(url), 'chat')).close();
  const source = client.eventSource(`${url}/events`);
  const event = await next(source, 'error');
  assert.deepEqual([event.error.code, source.readyState], ['unsupported', 2]);
});

/** What a stream dispatches, in order. */
function heard(source) {
  const all = [];
  for (const name of ['open', 'message', 'named', 'error'])
    source.addEventListener(name, (event) => all.push(event.data ?? name));
  return all;
}

test('an event stream is opened after one challenge, and opens again when it was lost and is over the limit', async (t) => {
  const { limiter, url } = await streams(t, { waitMs: 60 });
  const { client, names } = clientFor(t);
  const resume = (url, id) => `${url}?after=${id}`;
  const source = client.eventSource(`${url}/events`, { open: openSource, resume });
  const all = heard(source);
  const handled = [];
  source.onopen = () => handled.push('open');
  source.onmessage = ({ data }) => handled.push(data);
  source.onerror = () => handled.push('error');
  assert.equal(source.readyState, source.CONNECTING);
  assert.equal((await next(source, 'named')).lastEventId, '7');
  assert.deepEqual([source.readyState, all], [source.OPEN, ['open', 'first ', 'second']]);
  const way = ['events - false', 'challenge - false', 'events header true'];
  assert.deepEqual(limiter.log, way);
  for (const response of limiter.sources) response.destroy();
  await next(source, 'error');
  assert.equal(source.readyState, source.CONNECTING);
  await next(source, 'named');
  assert.deepEqual(all, ['open', 'first ', 'second', 'error', 'open', 'first 7', 'second']);
  assert.deepEqual(handled, ['open', 'first ', 'error', 'open', 'first 7']);
  // The client says so after the stream has.
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    [limiter.log, names().filter((name) => name === 'accepted').length],
    [[...way, ...way], 2],
  );
  source.close();
  assert.equal(source.readyState, source.CLOSED);
  assert.equal(limiter.early, 0);
});

test('an event stream that cannot be opened ends with an error that says why', async (t) => {
  for (const [status, type, code] of [
    [500, 'text/html', 'not_opened'],
    [204, 'text/event-stream', 'not_opened'],
  ]) {
    const url = await serve(t, (_, response) => response.writeHead(status, { 'Content-Type': type }).end());
    const source = pouwEventSource(url, { open: openSource });
    const { error } = await next(source, 'error');
    assert.deepEqual([error.code, error.status, source.readyState], [code, status, 2]);
  }
});

test('close and the signal end an event stream at any time', async (t) => {
  const { limiter, url } = await streams(t, { rate: 1 });
  const own = new AbortController();
  const source = pouwEventSource(`${url}/events`, { open: openSource, signal: own.signal });
  await next(source, 'named');
  const failed = next(source, 'error');
  own.abort(new Error('mine'));
  assert.deepEqual([(await failed).error.message, source.readyState], ['mine', 2]);
  const early = pouwEventSource(url, { open: openSource, signal: AbortSignal.abort(new Error('early')) });
  assert.equal((await next(early, 'error')).error.message, 'early');
  const closed = pouwEventSource(`${url}/events`, { open: openSource });
  const all = heard(closed);
  closed.close();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([all, closed.readyState], [[], 2]);
  assert.ok(limiter.log.length <= 2);
});

test('a stream takes headers of its own', async (t) => {
  const seen = [];
  const { limiter, url } = await streams(t, {}, ({ headers }) => void seen.push(headers.authorization));
  const { client } = clientFor(t);
  const headers = { Authorization: 'mine' };
  const source = client.eventSource(`${url}/events`, { open: openSource, headers });
  await next(source, 'named');
  source.close();
  assert.deepEqual([seen, limiter.solved], [Array(3).fill('mine'), 1]);
});
