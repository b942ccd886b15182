// What opens a stream: passes, late services, the deadline, and where a redirect leads.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { streamFetch } from '../dist/stream-fetch.js';
import { rejection, serve } from './limiter.mjs';
import { clientFor, next, open, openSource, Source, streams, ws } from './streams.mjs';

test('a stream that is not there does not cost the pass, and a pass that is refused is not kept', async (t) => {
  const { limiter, url } = await streams(t, { buys: [9, 60] });
  const { client } = clientFor(t);
  await client.fetch(`${url}/page`);
  limiter.stream = (_, response) => response.writeHead(404).end();
  const { error } = await next(client.eventSource(`${url}/events`, { open: openSource }), 'error');
  assert.deepEqual([error.code, error.status], ['not_opened', 404]);
  delete limiter.stream;
  await client.fetch(`${url}/page`);
  assert.deepEqual([limiter.solved, limiter.log], [1, ['events - true', 'challenge - true']]);
  // As after a restart.
  limiter.passes.clear();
  limiter.log.length = 0;
  const source = client.eventSource(`${url}/events`, { open: openSource });
  await next(source, 'named');
  source.close();
  assert.deepEqual(limiter.log, ['events - false', 'challenge - false', 'events header true']);
  limiter.seen.length = 0;
  await client.fetch(`${url}/page`);
  assert.deepEqual(
    limiter.seen.map(({ headers }) => headers['x-pouw-pass']),
    [undefined, undefined],
  );
});

test('a client that is not to name its units does not do so for streams either', async (t) => {
  const seen = [];
  const { url } = await streams(
    t,
    {},
    ({ headers }) => void seen.push([headers.accept, headers['x-pouw-accept']]),
  );
  const { client } = clientFor(t, { announce: false });
  const source = client.eventSource(`${url}/events`, { open: openSource });
  await next(source, 'named');
  source.close();
  const events = ['text/event-stream', undefined];
  assert.deepEqual(seen, [events, ['text/event-stream, */*;q=0.1', undefined], events]);
});

/** A server of streams over the limit; the promise has the opening that its service holds back. */
async function late(t, settings) {
  const { limiter, url } = await streams(t, settings);
  const { stream } = limiter;
  const held = new Promise((resolve) => {
    limiter.stream = (request, response, headers) => {
      limiter.stream = stream;
      resolve({ response, go: () => limiter.stream(request, response, headers) });
    };
  });
  return { limiter, url, held };
}

/** A stream that is refused late, once a fetch has its challenge; it is open in the end, and then closed. */
async function refusedLate(t, settings) {
  const { limiter, url, held } = await late(t, settings);
  const { client, names } = clientFor(t);
  const source = client.eventSource(`${url}/events`, { open: openSource });
  const { response } = await held;
  client.addEventListener('challenge', () => response.writeHead(429).end(), { once: true });
  const named = next(source, 'named');
  await client.fetch(`${url}/a`);
  await named;
  source.close();
  await new Promise(setImmediate);
  return { limiter, names };
}

test('requests to the same origin do not wait for a stream whose headers are late', async (t) => {
  for (const opens of [true, false]) {
    const { limiter, url, held } = await late(t);
    const { client } = clientFor(t);
    const source = client.eventSource(`${url}/events`, { open: openSource });
    const { response, go } = await held;
    const others = [client.fetch(`${url}/a`), client.fetch(`${url}/b`)];
    assert.deepEqual(
      (await Promise.all(others)).map(({ status }) => status),
      [200, 200],
    );
    assert.equal(source.readyState, source.CONNECTING);
    const named = next(source, 'named');
    if (opens) go();
    else response.writeHead(429).end();
    await named;
    source.close();
    assert.equal(limiter.solved, opens ? 3 : 4);
  }
});

test('a late stream that is refused waits for its turn before it does more work', async (t) => {
  const { names } = await refusedLate(t, { waitMs: 200 });
  const [work, through] = [['challenge', 'solved'], 'accepted'];
  assert.deepEqual(names(), [...work, ...work, through, ...work, through]);
});

test('a late stream that is refused takes the pass that was bought before its turn', async (t) => {
  const { limiter, names } = await refusedLate(t, { waitMs: 200, buys: [9, 60] });
  const work = ['challenge', 'solved'];
  assert.deepEqual([names(), limiter.solved], [[...work, ...work, 'accepted'], 2]);
});

test('what comes after a late stream is sent at once, not one after the other', async (t) => {
  const { limiter, url, held } = await late(t);
  const { client } = clientFor(t);
  const source = client.eventSource(`${url}/events`, { open: openSource });
  const { go } = await held;
  await client.fetch(`${url}/a`);
  const arrived = [];
  limiter.rate = Infinity;
  limiter.inner = (_, response) => arrived.push(response) === 2 && arrived.forEach((one) => one.end());
  await Promise.all([client.fetch(`${url}/a`), client.fetch(`${url}/b`)]);
  const named = next(source, 'named');
  go();
  await named;
  source.close();
});

/** A client under a fake clock, and event sources that do as they are told. */
function puppets(t) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const made = [];
  const open = () => {
    const one = Object.assign(new EventTarget(), { readyState: 0, close: () => (one.readyState = 2) });
    made.push(one);
    return one;
  };
  const says = (name, readyState) => {
    made.at(-1).readyState = readyState;
    made.at(-1).dispatchEvent(new Event(name));
  };
  const states = () => made.map(({ readyState }) => readyState);
  return { ...clientFor(t, { deadlineMs: 60_000 }), made, open, says, states };
}

/** Waits for something that takes no timer of this process. */
async function until(holds) {
  const started = performance.now();
  while (!holds()) {
    assert.ok(performance.now() < started + 20_000, `waited for ${holds}`);
    await new Promise(setImmediate);
  }
}

test('the deadline bounds the opening of a socket, and what the limit needs of that of an event stream', async (t) => {
  const asked = [];
  const silent = await serve(t, ({ url }) => void asked.push(url));
  const { client } = clientFor(t, { deadlineMs: 100 });
  const { error } = await rejection(
    client.webSocket(ws(silent), [], { open, signal: AbortSignal.timeout(10_000) }),
  );
  assert.equal(error.code, 'deadline');
  const { client: other, open: openPuppet, says, states } = puppets(t);
  const source = other.eventSource(`${silent}/events`, { open: openPuppet });
  says('error', 2);
  await until(() => asked.includes('/events'));
  const failed = next(source, 'error');
  t.mock.timers.tick(60_000);
  assert.deepEqual([(await failed).error?.code, source.readyState, states()], ['deadline', 2, [2]]);
});

test('an event stream that nothing has refused is kept beyond the deadline', async (t) => {
  const { client, open, says, states, names } = puppets(t);
  const source = client.eventSource('http://127.0.0.1:1/events', { open });
  const all = [];
  for (const name of ['open', 'error'])
    source.addEventListener(name, (event) => all.push(event.error ?? name));
  // As when the server is not there.
  says('error', 0);
  t.mock.timers.tick(60_000);
  await new Promise(setImmediate);
  assert.deepEqual([source.readyState, states(), all], [0, [0], []]);
  says('open', 1);
  assert.deepEqual([source.readyState, all], [1, ['open']]);
  // Another one is kept, and then refused: it is opened again.
  says('error', 2);
  await new Promise(setImmediate);
  t.mock.timers.tick(60_000);
  says('error', 2);
  await new Promise(setImmediate);
  assert.deepEqual([source.readyState, states(), all], [0, [2, 2, 0], ['open', 'error', 'error']]);
  t.mock.timers.tick(60_000);
  source.close();
  assert.deepEqual([states(), names()], [[2, 2, 2], []]);
});

test('an event stream that is opened with an answer is kept as well, and the answer is not said to count', async (t) => {
  const { url } = await streams(t);
  const { client, made, open, says, states, names } = puppets(t);
  const source = client.eventSource(`${url}/events`, { open });
  says('error', 2);
  await until(() => made.length === 2);
  t.mock.timers.tick(60_000);
  await new Promise(setImmediate);
  assert.deepEqual([source.readyState, states(), names()], [0, [2, 0], ['challenge', 'solved']]);
  says('open', 1);
  assert.equal(source.readyState, 1);
  source.close();
});

test('a source of the platform that connects again and hears nothing is replaced', async (t) => {
  const { client, made, open, says, states } = puppets(t);
  const source = client.eventSource('http://127.0.0.1:1/events', { open });
  says('open', 1);
  await new Promise(setImmediate);
  // It connects again in time, and then is open for long.
  for (let i = 0; i < 2; i++) {
    says('error', 0);
    t.mock.timers.tick(59_999);
  }
  says('open', 1);
  t.mock.timers.tick(120_000);
  assert.deepEqual([made.length, source.readyState], [1, 1]);
  says('error', 0);
  t.mock.timers.tick(60_000);
  assert.deepEqual(states(), [2, 0]);
  says('open', 1);
  assert.equal(source.readyState, 1);
  says('error', 0);
  source.close();
  t.mock.timers.tick(60_000);
  assert.deepEqual([states(), source.readyState], [[2, 2], 2]);
});

test('an event of the service with the name open is not taken for an opening', async (t) => {
  const { client, made, open, says } = puppets(t);
  const source = client.eventSource('http://127.0.0.1:1/events', { open });
  const all = [];
  source.addEventListener('open', ({ data = 'open' }) => all.push(data));
  says('open', 1);
  made[0].dispatchEvent(new MessageEvent('open', { data: 'of the service' }));
  assert.deepEqual(all, ['open', 'of the service']);
  source.close();
});

const PROTOCOL = ['x-pouw-pass', 'x-pouw-response', 'x-pouw-result', 'authorization', 'x-mine'];
const own = { Authorization: 'secret', 'X-Mine': 'yes' };

test('a redirect of an event stream does not take an answer, a pass or credentials to another origin', async (t) => {
  const seen = [];
  const note = ({ url, headers }) =>
    seen.push([url, ...PROTOCOL.filter((name) => headers[name] !== undefined).map((name) => name.slice(2))]);
  const other = await streams(t, { rate: 9 }, (request) => void note(request));
  const { limiter, url } = await streams(t, { buys: [9, 60] }, (request) => void note(request));
  const { stream } = limiter;
  limiter.stream = function (request, response, headers) {
    const to = { '/away': `${other.url}/there`, '/here': '/landed' }[request.url];
    if (to === undefined) return stream.call(this, request, response, headers);
    response.writeHead(307, { ...headers, Location: to }).end();
  };
  const { client } = clientFor(t);
  const open = (url, headers, fetch) => new Source(url, {}, fetch);
  const visit = async (path) => {
    seen.length = 0;
    const source = client.eventSource(url + path, { open, headers: own });
    await next(source, 'named');
    source.close();
    return seen.slice(-2);
  };
  const [credentials, answer] = [
    ['thorization', 'mine'],
    ['pouw-response', 'pouw-result'],
  ];
  assert.deepEqual(await visit('/away'), [
    ['/away', ...answer, ...credentials],
    ['/there', 'mine'],
  ]);
  await client.fetch(`${url}/page`);
  assert.deepEqual(await visit('/away'), [
    ['/away', 'pouw-pass', ...credentials],
    ['/there', 'mine'],
  ]);
  assert.deepEqual(await visit('/here'), [
    ['/here', 'pouw-pass', ...credentials],
    ['/landed', 'pouw-pass', ...credentials],
  ]);
});

test('the fetch of an event stream adds an answer once, its own headers always, and follows redirects to an end', async (t) => {
  const seen = [];
  const url = await serve(t, ({ url, headers }, response) => {
    seen.push([headers['x-once'], headers['x-own'], headers['x-given'], headers.accept]);
    response.writeHead(url === '/loop' ? 302 : 200, { Location: '/loop' }).end();
  });
  const send = streamFetch(fetch, { own: { 'X-Own': '1' }, once: { 'X-Once': '2' } });
  await send(url, { headers: { Accept: 'a' } });
  await send(new Request(url, { headers: { 'X-Given': '3', Accept: 'b' } }));
  assert.deepEqual(seen, [
    ['2', '1', undefined, 'a'],
    [undefined, '1', '3', 'b'],
  ]);
  assert.equal((await send(`${url}/loop`, { redirect: 'manual' })).status, 302);
  await assert.rejects(send(`${url}/loop`), /more than 20 redirects/);
  assert.equal(seen.length, 3 + 21);
});
