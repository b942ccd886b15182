// What a page may send: to its own origin, and to another one, which has to give its permission for headers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPouwClient } from '../dist/index.js';
import { Origins } from '../dist/origins.js';
import { page } from './place.mjs';
import { unit } from './units.mjs';

const OWN = 'https://app.example';
const OTHER = 'https://api.example';

/** A client whose requests a function answers, and what it sent. */
function answeredBy(t, answer, options) {
  const sent = [];
  const fetch = async (input, init) => {
    const request = new Request(new URL(input.url ?? input, OWN), input.url ? input : init);
    const headers = new Headers(init?.headers ?? input.headers);
    const own = [...headers].filter(([name]) => name.startsWith('x-pouw-')).map(([name]) => name.slice(7));
    sent.push([request.method, request.url.slice(8), own.sort().join(), init?.redirect ?? 'follow']);
    const { redirect, credentials } = init ?? {};
    return answer({ headers, url: request.url, number: sent.length, redirect, credentials });
  };
  const client = createPouwClient({ fetch, ...options });
  t.after(() => client.close());
  return { client, sent };
}

function over() {
  const workUnit = unit();
  const headers = { 'Content-Type': 'application/problem+json' };
  return new Response(JSON.stringify({ reason: 'work_required', workUnit }), { status: 429, headers });
}
const within = (headers = {}) => new Response('in', { headers });
const bought = { 'X-PoUW-Accepted': 'true', 'X-PoUW-Pass': 'name;r=9;t=60' };
const json = { method: 'POST', body: '{}', headers: { 'Content-Type': 'application/json' } };

/** Over the limit without an answer or a pass. */
const limiter = ({ headers }) => {
  if (headers.has('x-pouw-response')) return within(bought);
  return headers.has('x-pouw-pass') ? within() : over();
};

test('a page says to its own origin which units it computes, and to others where no permission is added', async (t) => {
  page(t, OWN);
  const { client, sent } = answeredBy(t, limiter, { passes: false });
  await client.fetch('/x');
  // A service that is not known to have a limiter has not been asked to allow anything.
  await client.fetch(`${OTHER}/x`, json);
  await client.fetch(`${OTHER}/x`, json);
  await client.fetch(`${OTHER}/x`, { headers: { Accept: 'text/plain' } });
  await client.fetch(`${OTHER}/x`, { method: 'POST', body: 'x', headers: { 'Content-Type': 'text/plain' } });
  await client.fetch(`${OTHER}/x`, { method: 'PUT' });
  const shown = sent.map(([method, url, own]) => `${method} ${url}: ${own}`);
  const [answer, asks] = ['accept,response,result', 'accept'];
  assert.deepEqual(shown, [
    `GET app.example/x: ${asks}`,
    `GET app.example/x: ${answer}`,
    'POST api.example/x: ',
    `POST api.example/x: ${answer}`,
    `POST api.example/x: ${asks}`,
    `POST api.example/x: ${answer}`,
    'GET api.example/x: ',
    `GET api.example/x: ${answer}`,
    'POST api.example/x: ',
    `POST api.example/x: ${answer}`,
    `PUT api.example/x: ${asks}`,
    `PUT api.example/x: ${answer}`,
  ]);
});

test('a page keeps the pass of its own origin in a cookie, until a request with it is refused', async (t) => {
  const { jar, written } = page(t, OWN);
  let good = true;
  const { client, sent } = answeredBy(t, ({ headers }) => {
    if (headers.has('x-pouw-response')) return within(bought);
    return good && jar.get('__Host-pouw-pass') === 'name' ? within() : over();
  });
  for (const init of [{}, json, {}]) assert.equal((await client.fetch('/x', init)).status, 200);
  assert.deepEqual(written, ['__Host-pouw-pass=name; Path=/; Max-Age=60; SameSite=Strict; Secure']);
  assert.deepEqual(
    sent.map(([, , own, redirect]) => `${own} ${redirect}`),
    ['accept follow', 'accept,response,result follow', 'accept follow', 'accept follow'],
  );
  good = false;
  assert.equal((await client.fetch('/x')).status, 200);
  assert.match(written[1], /^__Host-pouw-pass=; .*Max-Age=0/);
  assert.equal(sent.length, 6);
});

test('a page sends the pass of another origin with what it may repeat, and not along a redirect', async (t) => {
  page(t, OWN);
  const { client, sent } = answeredBy(t, (request) => {
    if (request.url.endsWith('/away') && request.redirect === 'manual') {
      // As a browser shows it.
      return { type: 'opaqueredirect', status: 0, headers: new Headers(), url: request.url, body: null };
    }
    return request.url.endsWith('/away') ? within() : limiter(request);
  });
  await client.fetch(`${OTHER}/x`);
  assert.equal(await (await client.fetch(`${OTHER}/away`)).text(), 'in');
  // The pass is still good.
  await client.fetch(`${OTHER}/x`);
  const asks = sent.slice(2).map(([, url, own, redirect]) => `${url} ${own} ${redirect}`);
  assert.deepEqual(asks, [
    'api.example/away accept,pass manual',
    'api.example/away  follow',
    'api.example/x accept,pass manual',
  ]);
  sent.length = 0;
  await client.fetch(`${OTHER}/x`, json);
  await client.fetch(`${OTHER}/x`, { ...json, redirect: 'error' });
  const posts = sent.map(([, , own, redirect]) => `${own} ${redirect}`);
  assert.deepEqual(posts, ['accept follow', 'accept,response,result follow', 'accept,pass error']);
});

test('a server that gives a pass but does not allow its header is asked without it', async (t) => {
  page(t, OWN);
  const { client, sent } = answeredBy(t, (request) => {
    if (request.headers.has('x-pouw-pass')) throw new TypeError('Failed to fetch');
    return limiter(request);
  });
  for (let i = 0; i < 3; i++) assert.equal((await client.fetch(`${OTHER}/x`)).status, 200);
  const withPass = sent.filter(([, , own]) => own.includes('pass')).length;
  assert.equal(withPass, 2, 'each pass once');
});

test('a page whose cookies are refused sends the header, and one in no-cors mode sends nothing', async (t) => {
  page(t, OWN, { cookies: false });
  const { client, sent } = answeredBy(t, limiter);
  await client.fetch('/x');
  await client.fetch('/x');
  assert.deepEqual(sent.at(-1), ['GET', 'app.example/x', 'accept,pass', 'manual']);
  await client.fetch(`${OTHER}/x`);
  sent.length = 0;
  await client.fetch(`${OTHER}/x`, { mode: 'no-cors' }).catch(() => {});
  assert.deepEqual(sent[0].slice(2), ['', 'follow']);
});

test('a network error does not cost the pass, if the request fails without it too', async (t) => {
  page(t, OWN);
  let lost = false;
  const { client, sent } = answeredBy(t, (request) => {
    if (lost) throw new TypeError('Failed to fetch');
    return limiter(request);
  });
  await client.fetch(`${OTHER}/x`);
  lost = true;
  await assert.rejects(client.fetch(`${OTHER}/x`), TypeError);
  lost = false;
  await client.fetch(`${OTHER}/x`);
  assert.deepEqual(
    sent.slice(2).map(([, , own]) => own),
    ['accept,pass', '', 'accept,pass'],
  );
});

test('a request without cookies neither uses nor removes the cookie with a pass', async (t) => {
  const { jar, written } = page(t, OWN);
  let number = 0;
  const { client, sent } = answeredBy(t, ({ headers, credentials }) => {
    const pass = headers.get('x-pouw-pass') ?? (credentials === 'omit' ? '' : jar.get('__Host-pouw-pass'));
    if (headers.has('x-pouw-response'))
      return within({ ...bought, 'X-PoUW-Pass': `${credentials}-${++number};r=9;t=60` });
    return pass?.startsWith(credentials) ? within() : over();
  });
  const [plain, omit] = [{}, { credentials: 'omit' }].map((init) => () => client.fetch('/x', init));
  for (const send of [plain, omit, plain, omit]) assert.equal((await send()).status, 200);
  assert.deepEqual([number, written.length, jar.get('__Host-pouw-pass')], [2, 1, 'undefined-1']);
  const [answer, asks] = ['accept,response,result', 'accept'];
  assert.deepEqual(
    sent.map(([, , own]) => own),
    [asks, answer, asks, answer, asks, 'accept,pass'],
  );
});

/** A server with the policies `a` and `b`, which takes passes from cookies and headers; each has the name of its policy. */
function policies(jar) {
  return ({ headers, url }) => {
    const policy = new URL(url).pathname[1];
    const says = { 'RateLimit-Policy': `"${policy}";q=1;w=60` };
    if (headers.has('x-pouw-response'))
      return within({ ...bought, ...says, 'X-PoUW-Pass': `${policy};r=9;t=60` });
    const passes = [headers.get('x-pouw-pass'), jar.get('__Host-pouw-pass')];
    if (passes.includes(policy)) return within(says);
    const refusal = over();
    refusal.headers.set('RateLimit-Policy', says['RateLimit-Policy']);
    return refusal;
  };
}

test('the cookie keeps the pass that it has; others are in the header, or in the cookie when needed', async (t) => {
  const { jar } = page(t, OWN);
  const { client, sent } = answeredBy(t, policies(jar));
  for (const path of ['/a', '/b', '/a', '/b']) assert.equal((await client.fetch(path)).status, 200);
  assert.equal(jar.get('__Host-pouw-pass'), 'a');
  const last = () => sent.map(([method, url, own]) => `${method} ${url.slice(-1)} ${own}`).slice(4);
  assert.deepEqual(last(), ['GET a accept', 'GET b accept,pass']);
  // A page does not see where a redirect of it leads, so it has no header.
  assert.equal((await client.fetch('/b', json)).status, 200);
  assert.deepEqual([last().at(-1), jar.get('__Host-pouw-pass')], ['POST b accept', 'b']);
  const opened = [];
  const open = () => {
    opened.push(jar.get('__Host-pouw-pass'));
    const source = Object.assign(new EventTarget(), { readyState: 1, close() {} });
    setImmediate(() => source.dispatchEvent(new Event('open')));
    return source;
  };
  const source = client.eventSource('/a', { open });
  await new Promise((resolve) => source.addEventListener('open', resolve));
  source.close();
  assert.deepEqual([opened, sent.length], [['a'], 7]);
});

test('the pass in the cookie gives way only to the next one of its policy', (t) => {
  const { jar } = page(t, OWN);
  const origins = new Origins(true);
  const target = { method: 'GET', url: '/x', origin: OWN, sendsCookies: () => true };
  const learn = (name, policy) => {
    const headers = new Headers({ 'X-PoUW-Pass': `${name};r=9;t=60`, 'RateLimit-Policy': `"${policy}";q=1` });
    origins.learn(target, { headers, url: '' });
    return jar.get('__Host-pouw-pass');
  };
  // As the challenge page leaves it.
  jar.set('__Host-pouw-pass', 'of-the-page');
  assert.equal(learn('one', 'a'), 'of-the-page');
  jar.clear();
  const kept = [learn('two', 'b'), learn('three', 'a'), learn('four', 'b')];
  assert.deepEqual(kept, ['two', 'two', 'four']);
});

test('a pass that another tab has put into the cookie is not removed with the own one', async (t) => {
  const { jar } = page(t, OWN);
  const { client, sent } = answeredBy(t, ({ headers, number }) => {
    if (headers.has('x-pouw-response')) return within(number === 2 ? bought : { 'X-PoUW-Accepted': 'true' });
    if (number === 3) jar.set('__Host-pouw-pass', 'newer');
    return over();
  });
  for (let i = 0; i < 3; i++) assert.equal((await client.fetch('/x')).status, 200);
  assert.equal(jar.get('__Host-pouw-pass'), 'newer');
  // The own one may have had no part in the refusal, so it is tried in a header.
  assert.deepEqual(
    sent.slice(2).map(([, , own]) => own),
    ['accept', 'accept,pass', 'accept,response,result', 'accept', 'accept,response,result'],
  );
});

/** The error with which a stream ends. */
const ended = (source) =>
  new Promise((resolve) => source.addEventListener('error', ({ error }) => error && resolve(error)));

test('a stream of a page takes its answer along in a cookie, which is gone before anything else is sent', async (t) => {
  const { jar, written } = page(t, OWN);
  const cookies = [];
  const { client } = answeredBy(t, () => (cookies.push([...jar.keys()].join()), over()));
  const opened = [];
  const open = (url, headers) => {
    opened.push([url, Object.keys(headers).length, [...jar.keys()].join()]);
    const refused = Object.assign(new EventTarget(), { readyState: 2, close() {} });
    setImmediate(() => refused.dispatchEvent(new Event('error')));
    return refused;
  };
  const { code } = await ended(client.eventSource('/events', { open, headers: { Authorization: 'x' } }));
  assert.equal(code, 'gave_up');
  assert.deepEqual(opened, [
    ['/events', 0, ''],
    ['/events', 0, '__Host-pouw-answer'],
    ['/events', 0, '__Host-pouw-answer'],
  ]);
  assert.deepEqual(cookies, ['', '', '']);
  const [token, result] = [
    /^__Host-pouw-answer=[\w-]+/,
    /\.[\w-]{131}; Path=\/; Max-Age=(\d+); SameSite=Strict; Secure$/,
  ];
  assert.match(written[0], token);
  assert.ok(Number(result.exec(written[0])[1]) > 50, written[0]);
});

test('a stream that cannot have an answer is refused, with the reason', async (t) => {
  page(t, OWN, { cookies: false });
  const { client, sent } = answeredBy(t, over);
  assert.throws(() => client.eventSource(`${OTHER}/events`), {
    code: 'unsupported',
    message: /https:\/\/api\.example/,
  });
  await assert.rejects(client.webSocket('wss://api.example/socket'), { code: 'unsupported' });
  await assert.rejects(client.webSocket('ws://app.example/socket'), { code: 'unsupported' });
  assert.equal(sent.length, 0);
  const open = () => {
    const refused = Object.assign(new EventTarget(), { readyState: 2, close() {} });
    setImmediate(() => refused.dispatchEvent(new Event('error')));
    return refused;
  };
  const stored = await ended(client.eventSource('/events', { open }));
  assert.deepEqual([stored.code, /does not store/.test(stored.message)], ['unsupported', true]);
  // A worker has an address and no document.
  delete globalThis.document;
  const worker = await ended(client.eventSource('/events', { open }));
  assert.deepEqual([worker.code, /not in a worker/.test(worker.message)], ['unsupported', true]);
});
