// Against the real server: POUW_BIN names a `pouw` built with the feature `serve`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPouwClient } from '../dist/index.js';
import { rejection } from './limiter.mjs';
import { page } from './place.mjs';
import { start } from './server.mjs';
import { Source } from './streams.mjs';

const { POUW_BIN } = process.env;
const skip = POUW_BIN ? false : 'POUW_BIN does not name a pouw with the feature serve';

const settings = 'paid_admissions_per_window = 100\n';

test('requests over the limit of the real server get through', { skip }, async (t) => {
  const options = ['--rate', '3', '--floor', '150,300,450'];
  const { url } = await start(t, POUW_BIN, { settings, options });
  const client = createPouwClient({ deadlineMs: 45_000 });
  t.after(() => client.close());
  const accepted = [];
  const tiers = new Set();
  client.addEventListener('challenge', ({ detail }) => tiers.add(detail.unit.difficulty));
  client.addEventListener('accepted', ({ detail }) => accepted.push(detail));
  for (let i = 0; i < 3; i++) assert.equal((await client.fetch(`${url}/hello`)).status, 200);
  assert.equal(accepted.length, 0);
  const posted = await client.fetch(`${url}/echo`, { method: 'POST', body: 'my own payload' });
  assert.equal(posted.status, 200);
  assert.equal(await posted.text(), 'my own payload');
  assert.equal(accepted.length, 1);
  assert.ok(accepted[0].microJoules > 0);
  const receipt = await (await fetch(`${url}/pouw/receipt/${accepted[0].workUnitId}`)).json();
  assert.ok(JSON.stringify(receipt).includes(accepted[0].workUnitId), JSON.stringify(receipt));

  const many = await Promise.all(Array.from({ length: 20 }, () => client.fetch(`${url}/hello`)));
  assert.ok(many.every(({ status }) => status === 200));
  assert.equal(accepted.length, 21);
  t.diagnostic(`tiers met: ${[...tiers].join(', ')}`);
});

test('an answer that is used up is refused by the real server with its reason', { skip }, async (t) => {
  const options = ['--rate', '1', '--floor', '50,50,50'];
  const { url } = await start(t, POUW_BIN, { settings, options });
  let answer;
  const replay = async (input, init) => {
    const headers = new Headers(init?.headers);
    const token = headers.get('x-pouw-response');
    if (token !== null && answer !== undefined) {
      for (const [name, value] of answer) headers.set(name, value);
    } else if (token !== null) {
      answer = ['x-pouw-response', 'x-pouw-result'].map((name) => [name, headers.get(name)]);
    }
    return fetch(input, { ...init, headers });
  };
  const client = createPouwClient({ fetch: replay });
  t.after(() => client.close());
  for (let i = 0; i < 2; i++) assert.equal((await client.fetch(`${url}/hello`)).status, 200);
  const { error } = await rejection(client.fetch(`${url}/hello`));
  assert.deepEqual([error.code, error.status, error.reason], ['refused', 403, 'token_replayed']);
});

test('uploads over the limit of the real server get through', { skip }, async (t) => {
  const { url } = await start(t, POUW_BIN, { settings, options: ['--rate', '1', '--floor', '20,30,40'] });
  const client = createPouwClient({ deadlineMs: 45_000 });
  t.after(() => client.close());
  const form = (bytes) => {
    const body = new FormData();
    body.append('file', new Blob(['x'.repeat(bytes)]));
    return body;
  };
  const bodies = { text: () => 'abc', form: () => form(3), 'long form': () => form(100_000) };
  for (const [name, body] of Object.entries({ ...bodies, bytes: () => new Uint8Array(5_000_000) })) {
    for (let i = 0; i < 6; i++) {
      const response = await client.fetch(`${url}/echo`, { method: 'POST', body: body() });
      assert.equal(response.status, 200, name);
      await response.arrayBuffer();
    }
  }
});

test('one answer buys several requests of the real server, also sent at once', { skip }, async (t) => {
  const bought = `${settings}answer_buys = { requests = 5, seconds = 60 }\n`;
  const server = await start(t, POUW_BIN, {
    settings: bought,
    options: ['--rate', '1', '--floor', '50,50,50'],
  });
  const client = createPouwClient();
  t.after(() => client.close());
  let challenges = 0;
  client.addEventListener('challenge', () => challenges++);
  for (let i = 0; i < 2; i++) assert.equal((await client.fetch(`${server.url}/hello`)).status, 200);
  const many = await Promise.all(Array.from({ length: 4 }, () => client.fetch(`${server.url}/hello`)));
  assert.ok(many.every(({ status }) => status === 200));
  assert.equal(challenges, 1);
  assert.equal((await client.fetch(`${server.url}/hello`)).status, 200);
  assert.equal(challenges, 2, 'after one and four more');

  const without = createPouwClient({ passes: false });
  t.after(() => without.close());
  without.addEventListener('challenge', () => challenges++);
  for (let i = 0; i < 2; i++) assert.equal((await without.fetch(`${server.url}/hello`)).status, 200);
  assert.equal(challenges, 4);
});

for (const inPage of [false, true]) {
  const how = inPage ? 'a cookie' : 'headers';

  test(`an event stream of the real server is opened with an answer in ${how}`, { skip }, async (t) => {
    const { url } = await start(t, POUW_BIN, { settings, options: ['--rate', '1', '--floor', '50,50,50'] });
    assert.equal((await fetch(`${url}/hello`)).status, 200);
    const sent = [];
    const { jar } = inPage ? page(t, url) : { jar: new Map() };
    const open = (address, headers) => {
      const Cookie = [...jar].map((pair) => pair.join('=')).join('; ');
      sent.push(inPage ? Cookie.split('=')[0] : Object.keys(headers).join());
      return new Source(address, inPage ? { Cookie } : headers);
    };
    const client = createPouwClient();
    t.after(() => client.close());
    const told = [];
    for (const name of ['challenge', 'accepted', 'failed'])
      client.addEventListener(name, () => told.push(name));
    const source = client.eventSource(`${url}/hello`, { open });
    const first = await new Promise((resolve) => {
      for (const name of ['open', 'error']) source.addEventListener(name, resolve);
    });
    assert.deepEqual([first.type, first.error], ['open', undefined]);
    // The client is done a little after the stream is open. This one ends soon, and is opened again.
    await new Promise((resolve) => setImmediate(resolve));
    source.close();
    assert.deepEqual(sent.slice(0, 2), ['', inPage ? 'pouw-answer' : 'X-PoUW-Response,X-PoUW-Result']);
    assert.deepEqual([told[0], jar.size], ['challenge', 0]);
  });
}
