import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createPouwClient, PouwError } from '../dist/index.js';
import { limited, refuse, rejection, serve } from './limiter.mjs';
import { subtree, unit } from './units.mjs';

/** What becomes of a request to a server that answers so; the client is closed when the test ends. */
async function against(t, handler, { client: options, ...init } = {}) {
  let requests = 0;
  const url = await serve(t, (request, response) => {
    requests += 1;
    handler(request, response, requests);
  });
  const client = createPouwClient({ deadlineMs: 5_000, ...options });
  t.after(() => client.close());
  const failed = [];
  client.addEventListener('failed', ({ detail }) => failed.push(detail.error));
  const outcome = await rejection(client.fetch(url, init));
  assert.deepEqual(failed, [outcome.error], 'the failure is told once');
  return { ...outcome, requests: () => requests };
}

const challenge = (response, members) => refuse(response, 429, 'work_required', { workUnit: unit(members) });
const answered = ({ headers }) => headers['x-pouw-response'] !== undefined;

test('a unit that does not add up is a typed rejection, and nothing is sent in answer', async (t) => {
  for (const workUnit of [
    unit({ operation: 'mine_coins' }),
    unit({ version: 2 }),
    subtree([Buffer.alloc(9)], 0, { leafLengths: [8] }),
    subtree([Buffer.alloc(9)], 5, { nodeCount: 1 }),
    unit({ challengeToken: 'two\nlines' }),
    [],
  ]) {
    const token = /^\w+$/.exec(workUnit.challengeToken ?? 'x')?.[0];
    const told = token === undefined ? {} : { 'X-PoUW-Challenge': token };
    const handler = (_, response) => {
      response.writeHead(429, { 'Content-Type': 'application/problem+json', ...told });
      response.end(JSON.stringify({ reason: 'work_required', workUnit }));
    };
    const { error, requests } = await against(t, handler);
    assert.ok(error instanceof PouwError);
    assert.equal(error.code, 'invalid_unit');
    assert.equal(requests(), 1);
  }
});

test('a unit that expires before its answer counts is not worked on', async (t) => {
  for (const members of [{ ttlMs: 0 }, { waitMs: 500, ttlMs: 500 }]) {
    const { error, requests } = await against(t, (_, response) => challenge(response, members));
    assert.deepEqual([error.code, error.member, error.status], ['invalid_unit', 'waitMs', 429]);
    assert.equal(requests(), 1);
  }
});

test('a unit with another token than the header is not worked on; without the header it is', async (t) => {
  const told = { 'X-PoUW-Challenge': 'of-another-unit' };
  const { error, requests } = await against(t, (_, response) =>
    refuse(response, 429, 'work_required', { workUnit: unit(), headers: told }),
  );
  assert.deepEqual([error.code, error.member], ['invalid_unit', 'challengeToken']);
  assert.match(error.message, /X-PoUW-Challenge/);
  assert.equal(requests(), 1);
  // As a page sees it across origins, if the server exposes nothing.
  const url = await serve(t, (request, response) => {
    if (answered(request)) return response.end('in');
    response.writeHead(429, { 'Content-Type': 'application/problem+json' });
    response.end(JSON.stringify({ reason: 'work_required', workUnit: unit() }));
  });
  const client = createPouwClient();
  t.after(() => client.close());
  assert.equal(await (await client.fetch(url)).text(), 'in');
});

test('a wait beyond the deadline is not begun', async (t) => {
  const far = { waitMs: 2 ** 53 - 2, ttlMs: 2 ** 53 - 1, notBefore: '9999-01-01T00:00:00Z' };
  const { error, ms } = await against(t, (_, response) => challenge(response, far));
  assert.equal(error.code, 'deadline');
  assert.equal(error.status, 429);
  assert.ok(ms < 5_000, `${ms}`);
  const plain = { headers: { 'Retry-After': '3600' } };
  const long = await against(t, (_, response) => refuse(response, 429, 'ceiling', plain));
  assert.equal(long.error.code, 'deadline');
  assert.equal(long.error.reason, 'ceiling');
  assert.ok(long.ms < 5_000, `${long.ms}`);
});

test('a server that answers 429 for ever is given up', async (t) => {
  const work = await against(t, (_, response) => challenge(response));
  assert.equal(work.error.code, 'gave_up');
  assert.equal(work.error.reason, 'work_required');
  assert.equal((await work.error.response.json()).reason, 'work_required');
  assert.equal(work.requests(), 2);

  const plain = (_, response) => refuse(response, 429, 'budget', { headers: { 'Retry-After': '1' } });
  const waiting = await against(t, plain, { client: { deadlineMs: 2_900 } });
  assert.deepEqual([waiting.error.code, waiting.error.reason], ['deadline', 'budget']);
  assert.ok(waiting.ms < 2_900, `${waiting.ms}`);
  assert.equal(waiting.requests(), 3);

  const short = { headers: { 'Retry-After': '0' } };
  const always = await against(t, (_, response) => refuse(response, 429, 'budget', short));
  assert.deepEqual([always.error.code, always.requests()], ['gave_up', 8]);

  // What could not be sent is not hashed either.
  const challenged = [];
  const confirm = (unit) => challenged.push(unit) > 0;
  const few = await against(t, (_, response) => challenge(response), {
    client: { maxAttempts: 1, confirm },
  });
  assert.deepEqual([few.error.code, few.requests(), challenged.length], ['gave_up', 1, 0]);

  const early = (request, response) =>
    answered(request)
      ? refuse(response, 429, 'too_early', {
          headers: { 'Retry-After': '0', 'X-PoUW-Challenge': request.headers['x-pouw-response'] },
        })
      : challenge(response);
  assert.equal((await against(t, early)).error.code, 'gave_up');
});

test('a server that stops answering is given up at the deadline', async (t) => {
  const silent = (request, response) => answered(request) || challenge(response);
  const { error, ms } = await against(t, silent, { client: { deadlineMs: 3_000 } });
  assert.equal(error.code, 'deadline');
  assert.match(error.message, /receipt/);
  assert.ok(ms >= 2_990 && ms < 30_000, `${ms}`);

  const stalled = (_, response) => {
    response.writeHead(429, { 'Content-Type': 'application/problem+json' });
    response.write('{');
  };
  assert.equal((await against(t, stalled, { client: { deadlineMs: 300 } })).error.code, 'deadline');
});

test('a first response that is not the limiter speaking is handed back untouched', async (t) => {
  const pages = [
    [403, 'text/html', '<h1>No</h1>'],
    [403, 'application/problem+json', '{"reason":"token_invalid"}'],
    [502, 'text/html', '<h1>Bad Gateway</h1>'],
    [429, 'text/html', '<h1>Slow down</h1>'],
    [429, 'application/json', '{"reason":"work_required"}'],
    [429, 'application/problem+json', '{"title":"of another limiter"}'],
    [429, 'application/problem+json', '{"reason":"of another limiter"}'],
    [429, 'application/problem+json', 'no JSON'],
    [429, 'application/problem+json', 'null'],
    [429, 'application/problem+json', `{"reason":"no_work","detail":"${'x'.repeat(5 << 20)}"}`],
    [503, 'application/problem+json', '{"reason":"unavailable"}'],
  ];
  for (const [status, type, text] of pages) {
    let requests = 0;
    const url = await serve(t, (_, response) => {
      requests += 1;
      response.writeHead(status, { 'Content-Type': type });
      response.end(text);
    });
    const client = createPouwClient();
    t.after(() => client.close());
    client.addEventListener('failed', () => assert.fail('nothing failed'));
    const response = await client.fetch(url);
    assert.deepEqual([response.status, response.bodyUsed, await response.text()], [status, false, text]);
    assert.equal(requests, 1);
  }
});

test('a refusal in answer to work is a typed rejection with its reason', async (t) => {
  for (const [status, reason] of [
    [403, 'token_invalid'],
    [403, 'client_mismatch'],
    [403, 'policy_mismatch'],
    [403, 'token_replayed'],
    [400, 'malformed'],
    [413, 'too_large'],
    [503, 'unavailable'],
  ]) {
    const { error, requests } = await against(t, (request, response) =>
      answered(request) ? refuse(response, status, reason) : challenge(response),
    );
    assert.ok(error instanceof PouwError);
    assert.deepEqual([error.code, error.status, error.reason], ['refused', status, reason]);
    assert.match(error.message, new RegExp(`about ${reason}`));
    assert.match(error.workUnitId, /^[0-9a-f-]{36}$/);
    assert.equal((await error.response.json()).reason, reason);
    assert.equal(requests(), 2);
  }
});

test('an error page in answer to work is a typed rejection', async (t) => {
  for (const [status, type] of [
    [403, 'text/plain'],
    [502, 'text/html; charset=utf-8'],
    [429, 'text/html'],
    [429, 'application/json'],
  ]) {
    const { error } = await against(t, (request, response) => {
      if (!answered(request)) return challenge(response);
      response.writeHead(status, { 'Content-Type': type });
      response.end('from something between');
    });
    assert.deepEqual([error.code, error.status], ['unexpected_response', status]);
    assert.equal(await error.response.text(), 'from something between');
  }
});

test('what the service itself answers to an admitted request is handed back, also a 403 and a 429', async (t) => {
  for (const status of [204, 403, 404, 429, 500]) {
    const url = await serve(t, (request, response) => {
      if (!answered(request)) return challenge(response);
      response.writeHead(status, { 'X-PoUW-Accepted': 'true', 'Content-Type': 'text/html' });
      response.end();
    });
    const client = createPouwClient();
    t.after(() => client.close());
    assert.equal((await client.fetch(url)).status, status);
  }
});

test('a connection lost after the answer is told with the name of the receipt, and nothing is sent again', async (t) => {
  let workUnit;
  const { error, requests } = await against(t, (request, response) => {
    if (answered(request)) return request.socket.destroy();
    workUnit = unit();
    refuse(response, 429, 'work_required', { workUnit });
  });
  assert.deepEqual([error.code, error.workUnitId], ['connection_lost', workUnit.id]);
  assert.ok(error.message.includes(workUnit.id) && error.cause instanceof TypeError);
  assert.equal(requests(), 2);
});

test('a response to the answer that breaks off is told like a lost connection', async (t) => {
  const { error } = await against(t, (request, response) => {
    if (!answered(request)) return challenge(response);
    response.writeHead(429, { 'Content-Type': 'application/problem+json', 'Content-Length': '99' });
    response.write('{', () => request.socket.destroy());
  });
  assert.equal(error.code, 'connection_lost');
  assert.match(error.workUnitId, /^[0-9a-f-]{36}$/);
});

test('a request that was used up while its work was done rejects as fetch does: no answer was sent', async (t) => {
  const { limiter, url, client } = await limited(t, createPouwClient);
  const request = new Request(url, { method: 'POST', body: 'x' });
  client.addEventListener('solved', () => void request.text());
  const { error } = await rejection(client.fetch(request));
  assert.ok(error instanceof TypeError, String(error));
  assert.equal(limiter.seen.length, 1);
});

test('a request that cannot be sent at all rejects as fetch does', async (t) => {
  const url = await serve(t, () => {});
  const client = createPouwClient();
  t.after(() => client.close());
  const socket = connect(new URL(url).port, '127.0.0.1');
  await once(socket, 'connect');
  socket.destroy();
  await assert.rejects(client.fetch('http://127.0.0.1:1/'), TypeError);
  await assert.rejects(client.fetch('not a url'), TypeError);
});

test('work over maxCost is a typed rejection that says what it costs', async (t) => {
  const leaves = Array.from({ length: 4 }, () => Buffer.alloc(100));
  for (const [maxCost, words] of [
    [{ bytes: 399 }, '400 bytes'],
    [{ hashes: 6 }, '7 hashes'],
    [{ seconds: 0.1 }, '0.2 seconds'],
  ]) {
    const workUnit = subtree(leaves, 2, { waitMs: 200 });
    const handler = (_, response) => refuse(response, 429, 'work_required', { workUnit });
    const { error } = await against(t, handler, { client: { maxCost } });
    assert.equal(error.code, 'too_expensive');
    assert.ok(error.message.includes(words), error.message);
  }
  const { url, client } = await limited(
    t,
    createPouwClient,
    {},
    { maxCost: { bytes: 1200, hashes: 7, seconds: 0 } },
  );
  assert.equal((await client.fetch(url)).status, 200);
});

test('confirm is asked with the unit; anything but true declines', async (t) => {
  const throws = () => {
    throw new Error('dialog closed');
  };
  for (const confirm of [() => false, async () => undefined, throws, async () => throws()]) {
    const { error, requests } = await against(t, (_, response) => challenge(response), {
      client: { confirm },
    });
    assert.deepEqual([error.code, requests()], ['declined', 1]);
  }
  const never = await against(t, (_, response) => challenge(response), {
    client: { confirm: () => new Promise(() => {}), deadlineMs: 300 },
  });
  assert.equal(never.error.code, 'deadline');
  const asked = [];
  const confirm = (unit, { url }) => asked.push([unit.nodeCount, url]) > 0;
  const { url, client } = await limited(t, createPouwClient, {}, { confirm });
  assert.equal((await client.fetch(url)).status, 200);
  assert.deepEqual(asked, [[1, url]]);
});
