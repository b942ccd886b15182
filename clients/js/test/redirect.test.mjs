// A service that answers with a redirect: fetch takes the answer along to the next address, where it is used up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPouwClient } from '../dist/index.js';
import { redirectTarget } from '../dist/redirects.js';
import { Limiter, rejection, serve } from './limiter.mjs';

/** A limiter whose service redirects: `places` has status and target for each path that does. */
async function redirecting(t, places, settings) {
  const limiter = new Limiter(settings);
  const carriedOut = [];
  const inner = limiter.inner;
  const url = await serve(t, (request, response) => {
    limiter.inner = (payload, response, headers) => {
      carriedOut.push(`${request.method} ${request.url} ${payload}`.trim());
      const [status, target] = places[request.url] ?? [];
      if (status === undefined) return inner.call(limiter, payload, response, headers);
      response.writeHead(status, { Location: target, ...headers }).end();
    };
    return limiter.handler(request, response);
  });
  const client = createPouwClient({ deadlineMs: 10_000 });
  t.after(() => client.close());
  const events = [];
  for (const name of ['challenge', 'accepted', 'failed']) {
    client.addEventListener(name, ({ detail }) => events.push(`${name} ${detail.url ?? ''}`.trim()));
  }
  return { limiter, url, client, carriedOut, events };
}

const post = { method: 'POST', body: 'form', headers: { Authorization: 'secret', 'X-Mine': 'yes' } };

for (const status of [301, 302, 303]) {
  test(`a ${status} after an accepted POST leads to the next address, without the answer`, async (t) => {
    const { limiter, url, client, carriedOut, events } = await redirecting(t, {
      '/form': [status, '/form/1'],
    });
    const response = await client.fetch(`${url}/form`, post);
    assert.equal(response.status, 200);
    assert.equal(response.url, `${url}/form/1`);
    // The next address has a limit too, and its own work.
    assert.deepEqual(carriedOut, ['POST /form form', 'GET /form/1']);
    assert.deepEqual(events, [`challenge ${url}/form`, 'accepted', `challenge ${url}/form/1`, 'accepted']);
    const last = limiter.seen.filter(({ url }) => url === '/form/1');
    assert.deepEqual(
      last.map(({ method, answered }) => [method, answered]),
      [
        ['GET', true],
        ['GET', false],
        ['GET', true],
      ],
    );
    for (const { headers } of last) {
      assert.deepEqual([headers['x-mine'], headers.authorization], ['yes', 'secret']);
      assert.equal(headers['content-type'], undefined);
    }
    assert.notEqual(last[0].headers['x-pouw-response'], last[2].headers['x-pouw-response']);
  });
}

test('a redirect of a Request to its own address', async (t) => {
  let url;
  const places = { '/': [303, '/'] };
  const { limiter, client, carriedOut, ...rest } = await redirecting(t, places);
  url = rest.url;
  client.addEventListener('accepted', () => {
    delete places['/'];
    limiter.rate = 9;
  });
  const request = new Request(`${url}/`, post);
  assert.equal(await (await client.fetch(request)).text(), 'hello ');
  assert.deepEqual(carriedOut, ['POST / form', 'GET /']);
  assert.equal(limiter.seen.at(-1).headers['x-mine'], 'yes');
});

test('a POST that was let through under the limit is not sent again when its redirect is limited', async (t) => {
  const { limiter, url, client, carriedOut, events } = await redirecting(
    t,
    { '/form': [303, '/form/1'] },
    { rate: 1 },
  );
  const response = await client.fetch(`${url}/form`, post);
  assert.equal(await response.text(), 'hello ');
  assert.deepEqual(carriedOut, ['POST /form form', 'GET /form/1']);
  assert.deepEqual(events, [`challenge ${url}/form/1`, 'accepted']);
  assert.equal(limiter.seen.length, 3);
});

test('redirects without end are given up, and what was accepted is told', async (t) => {
  const places = { '/a': [302, '/b'], '/b': [302, '/c'], '/c': [302, '/d'] };
  const { url, client, carriedOut, events } = await redirecting(t, places);
  const { error } = await rejection(client.fetch(`${url}/a`));
  assert.deepEqual([error.code, error.reason], ['gave_up', 'token_replayed']);
  assert.match(error.workUnitId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(carriedOut, ['GET /a', 'GET /b']);
  assert.equal(events.filter((event) => event === 'accepted').length, 2);
});

test('a connection that is lost after the redirect is told with the name of the receipt', async (t) => {
  const places = { '/form': [303, '/form/1'] };
  const { url, client, limiter, carriedOut } = await redirecting(t, places);
  const { handler } = limiter;
  client.addEventListener('accepted', () => {
    limiter.handler = (request) => request.socket.destroy();
  });
  const { error } = await rejection(client.fetch(`${url}/form`, post));
  assert.equal(error.code, 'connection_lost');
  assert.match(error.workUnitId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(carriedOut, ['POST /form form']);
  limiter.handler = handler;
});

test('a redirect to another origin: its response is handed back, and credentials stay here', async (t) => {
  const seen = [];
  const elsewhere = await serve(t, ({ method, headers }, response) => {
    seen.push([method, headers.authorization]);
    response.end('elsewhere');
  });
  const { url, client, carriedOut, events } = await redirecting(t, { '/form': [303, `${elsewhere}/x`] });
  const response = await client.fetch(`${url}/form`, post);
  assert.equal(await response.text(), 'elsewhere');
  assert.deepEqual(seen, [['GET', undefined]]);
  assert.deepEqual(carriedOut, ['POST /form form']);
  assert.deepEqual(events, [`challenge ${url}/form`, 'accepted']);
});

test('a redirect to another origin with a limit is answered there, and credentials stay here', async (t) => {
  const other = await redirecting(t, {});
  const { url, client, carriedOut } = await redirecting(t, { '/form': [303, `${other.url}/x`] });
  assert.equal(await (await client.fetch(`${url}/form`, post)).text(), 'hello ');
  assert.deepEqual([carriedOut, other.carriedOut], [['POST /form form'], ['GET /x']]);
  assert.ok(other.limiter.seen.every(({ headers }) => headers.authorization === undefined));
  assert.equal(other.limiter.solved, 1);
});

test("what the redirect's address says for itself is handed back, also a 403", async (t) => {
  const elsewhere = await serve(t, (_, response) => {
    response.writeHead(403, { 'Content-Type': 'text/html' }).end('<h1>No</h1>');
  });
  const { url, client } = await redirecting(t, { '/form': [303, elsewhere] });
  assert.equal((await client.fetch(`${url}/form`, post)).status, 403);
});

test('a redirect that is followed with a pass leads to addresses of HTTP only, and gives the pass back', async (t) => {
  const seen = [];
  const places = { '/loop': '/loop', '/file': 'file:///etc/hosts', '/broken': 'http://[' };
  const url = await serve(t, ({ url, headers }, response) => {
    seen.push(headers['x-pouw-pass']);
    const target = places[url];
    const more = target === undefined ? {} : { Location: target };
    response.writeHead(target ? 302 : 200, { 'X-PoUW-Pass': 'name;r=1;t=60', ...more }).end();
  });
  const client = createPouwClient();
  t.after(() => client.close());
  await client.fetch(`${url}/x`);
  const failures = [
    ['/loop', /more than 20 redirects/],
    ['/file', /Location leads to "file:\/\/\/etc\/hosts", which is no http or https address/],
    ['/broken', /Location leads to "http:\/\/\["/],
  ];
  for (const [path, message] of failures) {
    await assert.rejects(
      client.fetch(url + path),
      (error) => error instanceof TypeError && message.test(error),
    );
    await client.fetch(`${url}/x`);
    assert.equal(seen.at(-1), 'name', path);
  }
});

test('the body of a redirect that leads nowhere is cancelled', () => {
  let cancelled = 0;
  const body = new ReadableStream({ cancel: () => void cancelled++ });
  const response = new Response(body, { status: 307, headers: { Location: 'data:,x' } });
  assert.throws(() => redirectTarget(response, { url: 'http://a.example/' }), TypeError);
  assert.equal(cancelled, 1);
});
