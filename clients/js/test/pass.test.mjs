// What an answer buys beside its own request.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPouwClient } from '../dist/index.js';
import { Origins } from '../dist/origins.js';
import { Policies, policyOf } from '../dist/policies.js';
import { limited, Limiter, refuse, serve } from './limiter.mjs';

const MANY = { buys: [60, 120] };
const passesOf = ({ seen }) => seen.map(({ headers }) => headers['x-pouw-pass']);

test('what an answer bought goes along with later requests to its origin, and with no others', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, { buys: [3, 120] });
  const elsewhere = new Limiter({ rate: 9 });
  const other = await serve(t, elsewhere.handler);
  for (let i = 0; i < 3; i++) {
    assert.equal((await client.fetch(`${url}/${i}`)).status, 200);
    assert.equal((await client.fetch(other)).status, 200);
  }
  const [pass] = limiter.passes.keys();
  assert.deepEqual(passesOf(limiter), [undefined, undefined, pass, pass]);
  assert.deepEqual(passesOf(elsewhere), [undefined, undefined, undefined]);
  // It is used up, which the last response said.
  assert.equal((await client.fetch(url)).status, 200);
  assert.deepEqual([limiter.solved, passesOf(limiter).slice(4)], [2, [undefined, undefined]]);
});

test('twenty requests at once share what one answer bought', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, { ...MANY, waitMs: 30 });
  const responses = await Promise.all(Array.from({ length: 20 }, (_, i) => client.fetch(`${url}/${i}`)));
  assert.ok(responses.every(({ status }) => status === 200));
  assert.equal(limiter.solved, 1);
  const [left] = limiter.passes.values();
  assert.equal(left, 59 - 19);
});

test('no more requests are under way with a pass than it has left', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, { buys: [4, 120] });
  await client.fetch(url);
  limiter.rate = 9;
  const responses = await Promise.all(Array.from({ length: 6 }, () => client.fetch(url)));
  assert.ok(responses.every(({ status }) => status === 200));
  assert.equal(passesOf(limiter).filter(Boolean).length, 3);
  // Under the limit it was not used, so it is still there.
  limiter.rate = 0;
  assert.equal((await client.fetch(url)).status, 200);
  assert.equal(limiter.solved, 1);
});

test('a pass whose time is over, that was refused, or that the client is not to use, is not sent', async (t) => {
  const late = await limited(t, createPouwClient, { buys: [60, 0] });
  for (let i = 0; i < 2; i++) await late.client.fetch(late.url);
  assert.deepEqual([late.limiter.solved, passesOf(late.limiter)], [2, Array(4).fill(undefined)]);

  const off = await limited(t, createPouwClient, MANY, { passes: false });
  for (let i = 0; i < 2; i++) await off.client.fetch(off.url);
  assert.deepEqual([off.limiter.solved, passesOf(off.limiter)], [2, Array(4).fill(undefined)]);

  const { limiter, url, client } = await limited(t, createPouwClient, MANY);
  await client.fetch(url);
  const [pass] = limiter.passes.keys();
  // As after a restart of the server.
  limiter.passes.clear();
  limiter.buys = [1, 0];
  for (let i = 0; i < 2; i++) await client.fetch(url);
  const sent = [undefined, undefined, pass, undefined, undefined, undefined];
  assert.deepEqual([limiter.solved, passesOf(limiter)], [3, sent]);
});

/** Answers buy passes of the policy `login` below `/login`, else of `api`. */
async function twoPolicies(t, options) {
  const setup = await limited(t, createPouwClient, MANY, options);
  setup.limiter.policyOf = (_, url) => (url.startsWith('/login') ? 'login' : 'api');
  return setup;
}

test('each policy of a server has a pass of its own', async (t) => {
  const { limiter, url, client } = await twoPolicies(t);
  for (const path of ['/api/1', '/login', '/api/2', '/login', '/login/more', '/api/1', '/other'])
    assert.equal((await client.fetch(url + path)).status, 200);
  assert.equal(limiter.solved, 2);
  const [api, login] = limiter.passes.keys();
  const sent = limiter.seen.map(({ url, headers }) => [url, headers['x-pouw-pass']]);
  assert.deepEqual(sent, [
    ['/api/1', undefined],
    ['/api/1', undefined],
    // Nothing is known of it, so the only pass is tried. It is kept.
    ['/login', api],
    ['/login', undefined],
    ['/api/2', api],
    ['/login', login],
    ['/login/more', login],
    ['/api/1', api],
    ['/other', api],
  ]);
});

test('a request that was taken for one of another policy is sent again with the right pass', async (t) => {
  const { limiter, url, client } = await twoPolicies(t);
  limiter.policyOf = (method) => (method === 'POST' ? 'login' : 'api');
  const post = { method: 'POST', body: '' };
  await client.fetch(`${url}/a`);
  await client.fetch(`${url}/a`, post);
  await client.fetch(`${url}/b`);
  assert.equal((await client.fetch(`${url}/b`, post)).status, 200);
  // From here on it looks like /c/d, and is not.
  limiter.policyOf = (_, url) => (url === '/c/d' ? 'login' : 'api');
  await client.fetch(`${url}/c/d`);
  assert.equal((await client.fetch(`${url}/c/e`)).status, 200);
  assert.equal(limiter.solved, 2);
  const [api, login] = limiter.passes.keys();
  assert.deepEqual(passesOf(limiter).slice(4), [api, api, login, api, login, login, api]);
});

test('a request that meets a ceiling waits, and its pass is kept', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, MANY);
  await client.fetch(url);
  limiter.ceiling = true;
  client.addEventListener('waiting', () => (limiter.ceiling = false), { once: true });
  assert.equal((await client.fetch(url)).status, 200);
  const [pass] = limiter.passes.keys();
  assert.deepEqual([limiter.solved, passesOf(limiter)], [1, [undefined, undefined, pass, pass]]);
});

test('requests are taken for those that they resemble', () => {
  const policies = new Policies();
  const guess = (method, path, usable = []) => policies.guess(method, path, (name) => usable.includes(name));
  assert.equal(guess('GET', '/'), undefined);
  policies.learn('GET', '/api/a', 'api');
  policies.learn('GET', '/login', 'login');
  policies.learn('POST', '/api/a', 'write');
  policies.learn('GET', '/api/a/b/c', 'deep');
  const guessed = (path) => [guess('GET', path), guess('POST', path)];
  assert.deepEqual(guessed('/api/a'), ['api', 'write']);
  assert.deepEqual(guessed('/api/a/b'), ['deep', 'deep']);
  assert.deepEqual(guessed('/api/x'), ['deep', 'write']);
  assert.deepEqual(guessed('/login'), ['login', 'login']);
  assert.equal(guess('GET', '/new', ['api']), 'api', 'there is a pass');
  for (let i = 0; i < 128; i++) policies.learn('GET', `/${i}`, 'many');
  assert.equal(guess('GET', '/api/a'), 'many', 'the oldest are forgotten');
  const long = `/${'a'.repeat(300)}`;
  for (const [path, policy] of [
    [long, 'long'],
    ['/b', 'short'],
  ])
    policies.learn('GET', path, policy);
  assert.equal(guess('GET', `${long}/more`), 'long', 'only the beginning of a path counts');
  assert.equal(guess('GET', long.slice(0, 290)), 'long');
  const name = (value) => policyOf(new Headers(value));
  assert.deepEqual(
    [
      { 'ratelimit-policy': '"a";q=1;w=6' },
      { 'ratelimit-policy': '5;w=6' },
      { 'x-ratelimit-limit': '7' },
      {},
    ].map(name),
    ['a', '5;w=6', '7', ''],
  );
});

test("another limiter's 429 does not cost the pass", async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, MANY);
  await client.fetch(url);
  const { inner } = limiter;
  limiter.inner = (_, response, headers) => response.writeHead(429, headers).end('slow down');
  assert.equal((await client.fetch(url)).status, 429);
  limiter.inner = inner;
  assert.equal((await client.fetch(url)).status, 200);
  assert.equal(limiter.solved, 1);
});

/** Two servers; the first redirects `/away` to the second and `/here` to itself, with this status. */
async function redirecting(t, status) {
  const there = [];
  const other = await serve(t, async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const { method, headers } = request;
    there.push([method, String(Buffer.concat(parts)), headers['x-pouw-pass'], headers.authorization]);
    response.end('there');
  });
  const setup = await limited(t, createPouwClient, MANY);
  const { inner } = setup.limiter;
  setup.limiter.inner = (payload, response, headers) => {
    const { url } = setup.limiter.seen.at(-1);
    const target = { '/away': `${other}/x`, '/here': '/landed' }[url];
    if (target === undefined) return inner(payload, response, headers);
    response.writeHead(status, { ...headers, Location: target }).end();
  };
  await setup.client.fetch(setup.url);
  return { ...setup, there };
}

for (const [status, method, body] of [
  [302, 'GET', ''],
  [303, 'GET', ''],
  [307, 'POST', 'form'],
  [308, 'POST', 'form'],
]) {
  test(`a redirect with ${status} does not take the pass to another origin`, async (t) => {
    const { limiter, url, client, there } = await redirecting(t, status);
    const init = { method: 'POST', body: 'form', headers: { Authorization: 'secret' } };
    for (const input of [`${url}/away`, new Request(`${url}/away`, init)]) {
      const response = await client.fetch(input, typeof input === 'string' ? init : undefined);
      assert.equal(await response.text(), 'there');
    }
    assert.deepEqual(there, Array(2).fill([method, body, undefined, undefined]));
    const landed = await client.fetch(`${url}/here`, init);
    assert.deepEqual([landed.url, await landed.text()], [`${url}/landed`, `hello ${body}`]);
    const last = limiter.seen.at(-1);
    assert.deepEqual([last.method, last.url, last.headers.authorization], [method, '/landed', 'secret']);
    assert.equal(last.headers['x-pouw-pass'], [...limiter.passes.keys()][0]);
    assert.equal(limiter.solved, 1);
  });
}

test('a redirect that the caller wants to see, and one without end', async (t) => {
  const { limiter, url, client } = await redirecting(t, 302);
  const seen = await client.fetch(`${url}/away`, { redirect: 'manual' });
  assert.deepEqual([seen.status, new URL(seen.headers.get('location')).pathname], [302, '/x']);
  await assert.rejects(client.fetch(`${url}/away`, { redirect: 'error' }), TypeError);
  limiter.inner = (_, response, headers) => response.writeHead(302, { ...headers, Location: '/' }).end();
  limiter.rate = 99;
  const before = limiter.seen.length;
  await assert.rejects(client.fetch(url), /more than 20 redirects/);
  assert.equal(limiter.seen.length - before, 21);
});

test('a target over its limit is answered with the method that the redirect left', async (t) => {
  const { limiter, url, client } = await redirecting(t, 307);
  const { inner } = limiter;
  limiter.inner = (payload, response, headers) => {
    limiter.passes.clear();
    return inner(payload, response, headers);
  };
  const response = await client.fetch(`${url}/here`, { method: 'POST', body: 'form' });
  assert.equal(await response.text(), 'hello form');
  const last = limiter.seen.slice(-3).map(({ method, url, answered }) => [method, url, answered]);
  assert.deepEqual(last, [
    ['POST', '/here', false],
    ['POST', '/landed', false],
    ['POST', '/landed', true],
  ]);
});

/** A request of a program without cookies. */
const to = (url, method = 'GET') => ({ method, url, origin: new URL(url).origin, sendsCookies: () => false });
const says = (pass, policy) =>
  new Headers({ ...(pass && { 'x-pouw-pass': pass }), ...(policy && { 'ratelimit-policy': policy }) });

test('what is no pass is none, and the origins that are remembered are bounded', () => {
  const origins = new Origins(true);
  const learn = (url, value) => origins.learn(to(url), { headers: says(value), url: '' });
  for (const value of ['a', 'a;r=1', 'a;r=1;t=x', 'a b;r=1;t=1', `${'a'.repeat(65)};r=1;t=1`, 'a;r=0;t=9']) {
    learn('https://a.example', value);
    assert.equal(origins.pass(to('https://a.example')), undefined, value);
  }
  for (let i = 0; i < 65; i++) learn(`https://${i}.example`, 'name;r=5;t=60');
  assert.equal(origins.pass(to('https://0.example')), undefined);
  assert.equal(origins.pass(to('https://1.example')).name, 'name');
  // Other implementations have a part of the address, or none.
  origins.learn(to('https://b.example'), { headers: says('b;r=5;t=60'), url: '/path' });
  assert.equal(origins.pass(to('https://b.example')).name, 'b');
  for (let i = 0; i < 17; i++)
    origins.learn(to(`https://c.example/${i}`), { headers: says(`n${i};r=5;t=60`, `policy ${i}`), url: '' });
  const kept = [0, 1, 16].map((i) => origins.pass(to(`https://c.example/${i}`))?.name);
  assert.deepEqual(kept, [undefined, 'n1', 'n16']);
  // One with nothing left does not replace it.
  for (const empty of ['c;r=0;t=60', 'c;r=5;t=0']) learn('https://b.example', empty);
  assert.equal(origins.pass(to('https://b.example')).name, 'b');
  // Responses overtake each other: it never becomes more.
  learn('https://1.example', 'name;r=1;t=60');
  learn('https://1.example', 'name;r=4;t=60');
  const arrive = origins.pass(to('https://1.example')).depart();
  assert.equal(origins.pass(to('https://1.example')), undefined);
  arrive();
  assert.ok(origins.pass(to('https://1.example')).usable);
});

test('a pass ends with its time', (t) => {
  const { now } = performance;
  t.after(() => (performance.now = now));
  const origins = new Origins(true);
  origins.learn(to('https://a.example'), { headers: says('name;r=5;t=60'), url: '' });
  const at = now.call(performance);
  performance.now = () => at + 59_000;
  assert.ok(origins.pass(to('https://a.example')));
  performance.now = () => at + 60_001;
  assert.equal(origins.pass(to('https://a.example')), undefined);
});

test('every request says which units can be computed, unless it is not to', async (t) => {
  const said = async (options) => {
    const { limiter, url, client } = await limited(t, createPouwClient, {}, options);
    await client.fetch(url, { method: 'POST', body: 'x', headers: { 'X-Mine': 'yes' } });
    return limiter.seen.map(({ headers }) => [headers['x-pouw-accept'], headers['x-mine']]);
  };
  assert.deepEqual(await said({}), Array(2).fill(['subtree_hash', 'yes']));
  assert.deepEqual(await said({ announce: false }), Array(2).fill([undefined, 'yes']));
});

test('a ceiling without a wait is asked again at once', async (t) => {
  let requests = 0;
  const url = await serve(t, (_, response) => {
    if (requests++ === 1) return refuse(response, 429, 'ceiling', { headers: { 'Retry-After': '0' } });
    response.writeHead(200, { 'X-PoUW-Pass': 'name;r=9;t=9' }).end('in');
  });
  const client = createPouwClient();
  t.after(() => client.close());
  for (let i = 0; i < 2; i++) assert.equal(await (await client.fetch(url)).text(), 'in');
  assert.equal(requests, 3);
});
