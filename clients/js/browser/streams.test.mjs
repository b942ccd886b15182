// Event streams and web sockets over the limit in Chromium, where the answer goes along in a cookie.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { streams } from '../test/streams.mjs';
import { eventually, launchChromium, open, withPackage } from './harness.mjs';

const TABS = fileURLToPath(new URL('../page/tabs.ts', import.meta.url));

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

/** A page of the server of streams, with a client in `client` and all of its events in `told`. */
async function visit(t, settings) {
  const { limiter, url } = await streams(t, settings, ({ url }, response) => {
    if (url !== '/') return false;
    response.writeHead(200, { 'Content-Type': 'text/html' });
    response.end('<!doctype html><link rel=icon href=data:,><title>streams</title>');
    return true;
  });
  const { page, seen } = await open(t, browser);
  await withPackage(page);
  await page.goto(url);
  await page.evaluate(async () => {
    const { createPouwClient } = await import('/dist/pouw.js');
    globalThis.client = createPouwClient({ deadlineMs: 15_000 });
    globalThis.told = [];
    for (const name of ['challenge', 'accepted', 'failed'])
      client.addEventListener(name, () => told.push(name));
    globalThis.heard = [];
    globalThis.listen = (source) => {
      for (const name of ['open', 'message', 'named', 'error'])
        source.addEventListener(name, (event) => heard.push(event.data ?? name));
      globalThis.source = source;
    };
  });
  return { limiter, url, page, seen };
}

const told = (page) => page.evaluate(() => globalThis.told);
const heard = (page, count) =>
  eventually(`${count} events`, async () => {
    const all = await page.evaluate(() => globalThis.heard);
    return all.length >= count && all;
  });
const cookies = async (page) => (await page.context().cookies()).map(({ name }) => name);

test('a web socket over the limit opens after one challenge', async (t) => {
  const { limiter, page, seen } = await visit(t, { waitMs: 100 });
  const got = await page.evaluate(async () => {
    const socket = await client.webSocket(`ws://${location.host}/socket`, 'chat');
    const next = () => new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
    const first = await next();
    socket.send('echo');
    return [socket instanceof WebSocket, socket.protocol, first, await next()];
  });
  assert.deepEqual(got, [true, 'chat', 'first', 'echo']);
  assert.deepEqual(limiter.log, ['socket - false', 'challenge - false', 'socket cookie true']);
  assert.deepEqual([await told(page), limiter.early], [['challenge', 'accepted'], 0]);
  assert.deepEqual(await cookies(page), []);
  assert.deepEqual(seen.uncaught, []);
});

test('an event stream over the limit opens after one challenge, and again when it was lost', async (t) => {
  const { limiter, page, seen } = await visit(t, { waitMs: 100 });
  await page.evaluate(() => listen(client.eventSource('/events')));
  assert.deepEqual(await heard(page, 3), ['open', 'first ', 'second']);
  const way = ['events - false', 'challenge - false', 'events cookie true'];
  assert.deepEqual([limiter.log, await cookies(page)], [way, []]);
  // The browser connects again by itself, is refused for good, and another source takes over.
  for (const response of limiter.sources) response.destroy();
  assert.deepEqual(await heard(page, 8), [
    'open',
    'first ',
    'second',
    'error',
    'error',
    'open',
    'first ',
    'second',
  ]);
  assert.deepEqual(limiter.log, [...way, 'events - false', ...way]);
  assert.deepEqual(await told(page), ['challenge', 'accepted', 'challenge', 'accepted']);
  assert.equal(await page.evaluate(() => (source.close(), source.readyState)), 2);
  await eventually('the stream is closed', () => limiter.sources.size === 0);
  assert.deepEqual(seen.uncaught, []);
});

test('under the limit they open directly, and without work they wait for Retry-After', async (t) => {
  const { limiter, page } = await visit(t, { rate: 2 });
  await page.evaluate(() => listen(client.eventSource('/events')));
  await heard(page, 3);
  await page.evaluate(() => client.webSocket('/socket'.replace(/^/, `ws://${location.host}`)));
  assert.deepEqual([limiter.log, await told(page)], [['events - true', 'socket - true'], []]);
  [limiter.reason, limiter.log.length] = ['budget', 0];
  const opened = page.evaluate(async () => {
    await client.webSocket(`ws://${location.host}/socket`);
    return told;
  });
  await eventually('it is refused', () => limiter.log.length === 2);
  limiter.rate = 3;
  assert.deepEqual(await opened, []);
  assert.deepEqual(limiter.log, ['socket - false', 'challenge - false', 'socket - true']);
});

test('what cannot be opened is distinguished, and another origin at once', async (t) => {
  const { limiter, page } = await visit(t);
  const codes = await page.evaluate(async () => {
    const code = (error) => error.code;
    const elsewhere = 'ws://localhost:1/socket';
    const found = [await client.webSocket(elsewhere).catch(code)];
    try {
      client.eventSource('http://localhost:1/events');
    } catch (error) {
      found.push(error.code, error.message);
    }
    return found;
  });
  assert.deepEqual(codes.slice(0, 2), ['unsupported', 'unsupported']);
  assert.match(codes[2], /http:\/\/localhost:1 .*a page of http:\/\/127/);
  limiter.handle = (_, response) => response.writeHead(404).end();
  limiter.upgrade = (_, socket) => socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
  const error = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const lost = client.eventSource('/events');
        lost.onerror = ({ error }) => resolve([error.code, error.status, lost.readyState]);
      }),
  );
  assert.deepEqual(error, ['not_opened', 404, 2]);
});

test('a pass that a request bought opens them, and goes along with everything of the page', async (t) => {
  const { limiter, page } = await visit(t, { buys: [9, 60] });
  const { handler } = limiter;
  // As the gate reads it.
  const passOf = ({ headers }) => /(?:^|; )pouw-pass=([\w-]+)/.exec(headers.cookie ?? '')?.[1];
  const withPass = (request) => {
    const pass = passOf(request);
    if (pass !== undefined) request.headers['x-pouw-pass'] = pass;
    return request;
  };
  const { decide } = limiter;
  limiter.handler = (request, response) => handler(withPass(request), response);
  limiter.decide = (request, ...rest) => decide.call(limiter, withPass(request), ...rest);
  const got = await page.evaluate(async () => {
    const statuses = [
      (await client.fetch('/a')).status,
      (await client.fetch('/b', { method: 'POST' })).status,
    ];
    await client.webSocket(`ws://${location.host}/socket`);
    listen(client.eventSource('/events'));
    return statuses;
  });
  await heard(page, 3);
  assert.deepEqual([got, limiter.solved, await told(page)], [[200, 200], 1, ['challenge', 'accepted']]);
  assert.deepEqual(await cookies(page), ['pouw-pass']);
  assert.deepEqual([...limiter.passes.values()], [9 - 1 - 3]);
});

test('tabs of one origin hear of each other', async (t) => {
  const { url, page } = await visit(t);
  const { outputFiles } = await build({ entryPoints: [TABS], format: 'esm', write: false });
  const module = `data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`;
  const other = await page.context().newPage();
  await other.goto(url);
  await page.evaluate(async (module) => {
    const { onAnnounced } = await import(module);
    onAnnounced(() => told.push('announced'));
  }, module);
  // As the challenge page does it, which loads another page at once.
  await other.evaluate(async (module) => {
    (await import(module)).announce();
    location.reload();
  }, module);
  await eventually('the announcement', async () => (await told(page)).includes('announced'));
});
