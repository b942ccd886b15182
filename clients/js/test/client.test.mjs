import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPouwClient, createPouwFetch, pouwFetch } from '../dist/index.js';
import { Gatherings } from '../dist/gathering.js';
import { limited, Limiter, refuse, rejection, serve } from './limiter.mjs';
import { unit } from './units.mjs';

test('a request under the limit goes through as it is', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, { rate: 1 });
  const response = await client.fetch(url);
  assert.equal(await response.text(), 'hello ');
  assert.equal(limiter.seen.length, 1);
});

test('a request over the limit is repeated once with the answer, its method and body as they were', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, { waitMs: 120 });
  const events = [];
  for (const name of ['challenge', 'progress', 'solved', 'accepted', 'failed', 'warning']) {
    client.addEventListener(name, ({ detail }) => events.push([name, detail]));
  }
  const response = await client.fetch(`${url}/things?a=1`, {
    method: 'PUT',
    body: 'payload',
    headers: { 'X-Mine': 'yes' },
  });
  assert.equal(response.status, 200);
  assert.equal(await response.text(), 'hello payload');
  assert.equal(limiter.seen.length, 2);
  assert.equal(limiter.early, 0);
  const [first, second] = limiter.seen;
  for (const request of [first, second]) {
    assert.deepEqual([request.method, request.url, request.body], ['PUT', '/things?a=1', 'payload']);
    assert.equal(request.headers['x-mine'], 'yes');
  }
  assert.deepEqual([first.answered, second.answered], [false, true]);
  const names = events.map(([name]) => name);
  assert.deepEqual([...new Set(names)], ['challenge', 'progress', 'solved', 'accepted']);
  const detail = (name) => events.find(([other]) => other === name)[1];
  assert.equal(detail('challenge').url, `${url}/things?a=1`);
  assert.equal(detail('progress').total, detail('challenge').unit.nodeCount);
  assert.deepEqual(
    [detail('accepted').workUnitId, detail('accepted').microJoules, detail('accepted').response],
    [detail('challenge').unit.id, 1250, response],
  );
});

test('a Request, a FormData and a Blob are repeated whole', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient);
  const request = new Request(url, { method: 'POST', body: 'in a request', headers: { 'X-Mine': 'yes' } });
  assert.equal(await (await client.fetch(request)).text(), 'hello in a request');
  assert.equal(limiter.seen[1].headers['x-mine'], 'yes');
  assert.equal(request.bodyUsed, false);
  const form = new FormData();
  form.set('field', 'value');
  assert.match(
    await (await client.fetch(url, { method: 'POST', body: form })).text(),
    /name="field"\r\n\r\nvalue/,
  );
  const blob = new Blob(['in a blob']);
  assert.equal(await (await client.fetch(url, { method: 'POST', body: blob })).text(), 'hello in a blob');
  assert.equal(limiter.solved, 3);
});

test('a stream is refused before anything is sent', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient);
  const streams = [new Blob(['x']).stream(), (async function* () {})()];
  for (const body of streams) {
    const { error } = await rejection(client.fetch(url, { method: 'POST', body, duplex: 'half' }));
    assert.equal(error.code, 'one_shot_body');
  }
  assert.equal(limiter.seen.length, 0);
});

for (const openMax of [64, 4, 1]) {
  test(`twenty requests at once are all admitted, ${openMax} open challenges allowed`, async (t) => {
    const { limiter, url, client } = await limited(t, createPouwClient, { openMax, waitMs: 30 });
    let working = 0;
    let most = 0;
    let challenges = 0;
    client.addEventListener('challenge', () => (challenges++, (most = Math.max(most, ++working))));
    client.addEventListener('accepted', () => working--);
    const responses = await Promise.all(Array.from({ length: 20 }, (_, i) => client.fetch(`${url}/${i}`)));
    assert.ok(responses.every(({ status }) => status === 200));
    assert.equal(challenges, 20, 'one challenge for each');
    assert.equal(most, 1, 'none at the same time');
    assert.equal(limiter.solved, 20);
    assert.equal(limiter.early, 0);
  });
}

test('the only challenge may arrive after the refusals of those sent together with it', async (t) => {
  const limiter = new Limiter({ openMax: 1, waitMs: 30 });
  const challenge = limiter.challenge.bind(limiter);
  limiter.challenge = (response, reason) => {
    // Counted as open at once, told later.
    const held = { writeHead: (...head) => (held.head = head), end: (text) => (held.text = text) };
    challenge(held, reason);
    setTimeout(() => response.writeHead(...held.head).end(held.text), 100);
  };
  const url = await serve(t, limiter.handler);
  const client = createPouwClient({ deadlineMs: 10_000 });
  t.after(() => client.close());
  const responses = await Promise.all(Array.from({ length: 5 }, (_, i) => client.fetch(`${url}/${i}`)));
  assert.ok(responses.every(({ status }) => status === 200));
  assert.equal(limiter.solved, 5);
});

test('what comes while a challenge is open is held back, then tries without an answer first', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient, { waitMs: 150 });
  const first = client.fetch(`${url}/first`);
  await new Promise((resolve) => client.addEventListener('challenge', resolve, { once: true }));
  const second = client.fetch(`${url}/second`);
  const elsewhere = await serve(t, (_, response) => response.end('not held'));
  assert.equal(await (await client.fetch(elsewhere)).text(), 'not held');
  assert.ok(limiter.seen.every(({ url }) => url === '/first'));
  limiter.rate = 1;
  assert.equal((await first).headers.get('x-pouw-accepted'), 'true');
  assert.equal((await second).headers.get('x-pouw-accepted'), null);
  const order = limiter.seen.map(({ url, answered }) => `${url} ${answered}`);
  assert.deepEqual(order, ['/first false', '/first true', '/second false']);
});

test('Retry-After of a 429 without work is waited for, then the request is repeated', async (t) => {
  for (const reason of ['no_work', 'cannot_answer', 'degraded', 'budget', 'ceiling', 'crowded', 'exempt']) {
    let requests = 0;
    const url = await serve(t, (_, response) => {
      if (requests++ > 0) return response.end('now');
      refuse(response, 429, reason, { headers: { 'Retry-After': '1' } });
    });
    const client = createPouwClient();
    const started = performance.now();
    assert.equal(await (await client.fetch(url)).text(), 'now', reason);
    assert.ok(performance.now() - started >= 1000);
    client.close();
  }
});

test('a HEAD request over the limit gets its 429 back: there is no work without a body', async (t) => {
  let requests = 0;
  const url = await serve(t, (_, response) => {
    requests += 1;
    refuse(response, 429, 'cannot_answer', { headers: { 'Retry-After': '1' } });
  });
  const client = createPouwClient();
  t.after(() => client.close());
  const response = await client.fetch(url, { method: 'HEAD' });
  assert.deepEqual([response.status, response.headers.get('retry-after'), requests], [429, '1', 1]);
});

test('too_early and try_again send the same answer again, without hashing twice', async (t) => {
  for (const reason of ['too_early', 'try_again']) {
    const workUnit = unit();
    const answers = [];
    const url = await serve(t, ({ headers }, response) => {
      if (!headers['x-pouw-response']) return refuse(response, 429, 'work_required', { workUnit });
      answers.push(headers['x-pouw-result']);
      if (answers.length > 1) return response.end('in');
      const told = { 'Retry-After': '0', 'X-PoUW-Challenge': workUnit.challengeToken };
      refuse(response, 429, reason, { headers: told });
    });
    const client = createPouwClient();
    let solved = 0;
    client.addEventListener('solved', () => solved++);
    assert.equal(await (await client.fetch(url)).text(), 'in');
    assert.equal(answers.length, 2);
    assert.equal(answers[0], answers[1]);
    assert.equal(solved, 1);
    client.close();
  }
});

/** A server that has a unit for every answer, with this reason; it lets the answer of number `lets` through. */
async function moreWork(t, reason, lets = Infinity) {
  const seen = { tokens: [], solved: 0 };
  const url = await serve(t, ({ headers }, response) => {
    const token = headers['x-pouw-response'];
    if (token) seen.tokens.push(token);
    if (seen.tokens.length === lets) return response.end('in');
    const workUnit = unit();
    refuse(response, 429, seen.tokens.length ? reason : 'work_required', { workUnit });
  });
  const client = createPouwClient();
  t.after(() => client.close());
  client.addEventListener('solved', () => seen.solved++);
  return { url, client, seen };
}

test('a second unit is solved when the server took the first back, a third never', async (t) => {
  for (const reason of ['token_expired', 'withdrawn', 'client_mismatch']) {
    const { url, client, seen } = await moreWork(t, reason, 2);
    assert.equal(await (await client.fetch(url)).text(), 'in', reason);
    assert.deepEqual([new Set(seen.tokens).size, seen.solved], [2, 2]);

    const never = await moreWork(t, reason);
    const { error } = await rejection(never.client.fetch(never.url));
    assert.deepEqual([error.code, error.reason, error.status], ['gave_up', reason, 429]);
    assert.deepEqual([never.seen.tokens.length, never.seen.solved], [2, 2]);
  }
});

test('more work in answer to work is not done', async (t) => {
  for (const [reason, code] of [
    ['wrong_result', 'refused'],
    ['work_required', 'gave_up'],
    ['of_a_later_version', 'gave_up'],
  ]) {
    const { url, client, seen } = await moreWork(t, reason, 2);
    const { error } = await rejection(client.fetch(url));
    assert.deepEqual([error.code, error.reason, error.status], [code, reason, 429]);
    assert.equal((await error.response.json()).reason, reason);
    assert.deepEqual([seen.tokens.length, seen.solved], [1, 1]);
  }
});

test('an answer that is never looked at is sent four times, also if other work comes along', async (t) => {
  for (const reason of ['too_early', 'try_again']) {
    const answers = [];
    const url = await serve(t, ({ headers }, response) => {
      if (headers['x-pouw-response']) answers.push(headers['x-pouw-response']);
      const told = { 'Retry-After': '0' };
      refuse(response, 429, answers.length ? reason : 'work_required', { workUnit: unit(), headers: told });
    });
    const client = createPouwClient();
    t.after(() => client.close());
    let workUnit;
    client.addEventListener('challenge', ({ detail }) => (workUnit = detail.unit));
    const { error } = await rejection(client.fetch(url));
    assert.deepEqual([error.code, error.reason, error.workUnitId], ['gave_up', reason, workUnit.id]);
    assert.deepEqual(answers, Array(4).fill(workUnit.challengeToken));
  }
});

test('what a server without work said to an answer is waited for, then a second unit is solved', async (t) => {
  const tokens = [];
  const url = await serve(t, ({ headers }, response) => {
    if (headers['x-pouw-response']) tokens.push(headers['x-pouw-response']);
    if (tokens.length === 2) return response.end('in');
    if (headers['x-pouw-response'])
      return refuse(response, 429, 'no_work', { headers: { 'Retry-After': '0' } });
    refuse(response, 429, 'work_required', { workUnit: unit() });
  });
  const client = createPouwClient();
  t.after(() => client.close());
  assert.equal(await (await client.fetch(url)).text(), 'in');
});

test('what the caller does to headers meanwhile does not change what is sent again', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient);
  const headers = new Map([['X-Mine', 'yes']]).entries();
  await client.fetch(url, { headers });
  assert.deepEqual(
    limiter.seen.map(({ headers }) => headers['x-mine']),
    ['yes', 'yes'],
  );
});

test('createPouwFetch and pouwFetch get through as well', async (t) => {
  const { limiter, url } = await limited(t, createPouwClient);
  const get = createPouwFetch();
  let accepted = 0;
  get.client.addEventListener('accepted', () => accepted++);
  assert.equal(await (await get(url)).text(), 'hello ');
  assert.equal(accepted, 1);
  get.close();
  assert.equal((await rejection(get(url))).error.code, 'closed');
  assert.equal(await (await pouwFetch(url, { method: 'POST', body: 'x' })).text(), 'hello x');
  assert.equal(limiter.solved, 2);
});

test('requests on their way are counted for their origin, which is forgotten when there are none', async () => {
  const gatherings = new Gatherings();
  const { signal } = new AbortController();
  const [one, two, other] = ['a', 'a', 'b'].map((origin) => gatherings.depart(origin));
  let complete = false;
  const wait = gatherings.complete('a', performance.now() + 9_000, signal).then(() => (complete = true));
  for (const arrive of [one, one, other]) arrive();
  await new Promise(setImmediate);
  assert.deepEqual([gatherings.size, complete], [1, false]);
  two();
  await wait;
  assert.equal(gatherings.size, 0);
  await gatherings.complete('a', performance.now() + 9_000, signal);
  const next = gatherings.depart('a');
  two();
  assert.equal(gatherings.size, 1);
  next();
  assert.equal(gatherings.size, 0);
});
