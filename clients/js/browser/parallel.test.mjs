// Twenty requests of one client at once, over the limit of the real server: in Chromium and in Node.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createPouwClient } from '../dist/index.js';
import { eventually, launchChromium, open, serve, withPackage } from './harness.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const REQUESTS = 20;

/**
 * Runs in Node and in the page: uses the limit up, sends all at once, and tells how each ended, how many challenges
 * there were, and how many were worked on at once at most.
 */
async function sendAll({ createPouwClient, url, requests, options }) {
  const client = createPouwClient(options);
  const told = {
    challenges: 0,
    atOnce: 0,
    accepted: 0,
    outcomes: {},
    free: (await client.fetch(url)).status,
  };
  const open = new Set();
  client.addEventListener('challenge', ({ detail }) => {
    told.challenges += 1;
    open.add(detail.unit.id);
    told.atOnce = Math.max(told.atOnce, open.size);
  });
  client.addEventListener('accepted', ({ detail }) => {
    told.accepted += 1;
    open.delete(detail.workUnitId);
  });
  const started = performance.now();
  await Promise.all(
    Array.from({ length: requests }, async () => {
      const outcome = await client.fetch(url).then(
        ({ status }) => status,
        ({ name, code }) => `${name} ${code}`,
      );
      told.outcomes[outcome] = (told.outcomes[outcome] ?? 0) + 1;
    }),
  );
  told.ms = performance.now() - started;
  client.close();
  return told;
}

const places = {
  node: (_, url, options) => sendAll({ createPouwClient, url: `${url}/hello`, requests: REQUESTS, options }),
  chromium: async (t, url, options) => {
    const { page, seen } = await open(t, browser);
    await withPackage(page);
    await page.goto(url);
    const told = await page.evaluate(
      `import('/dist/pouw.js').then(({ createPouwClient }) => (${sendAll})({
        createPouwClient, url: '/hello', requests: ${REQUESTS}, options: ${JSON.stringify(options)} }))`,
    );
    await eventually('the worker ends with its client', () => page.workers().length === 0);
    assert.deepEqual(seen.uncaught, []);
    return told;
  },
};

for (const [name, send] of Object.entries(places)) {
  for (const most of [4, 1]) {
    const setup = {
      settings: `paid_admissions_per_window = 100\nopen_challenges = [${most}, 1]\n`,
      options: ['--rate', '1', '--floor', '100,100,100'],
    };

    test(`${name}: each is admitted for a challenge of its own, ${most} open at most`, async (t) => {
      const server = await serve(t, setup);
      let [opened, watching] = [0, true];
      const watched = (async () => {
        while (watching) opened = Math.max(opened, await server.metric('pouw_leases'));
      })();
      const told = await send(t, server.url, {}).finally(() => (watching = false));
      await watched;
      assert.equal(told.free, 200);
      assert.deepEqual(told.outcomes, { 200: REQUESTS });
      assert.deepEqual([told.challenges, told.accepted], [REQUESTS, REQUESTS]);
      assert.equal(told.atOnce, 1, 'worked on one after the other');
      assert.ok(opened >= 1 && opened <= most, `${opened} open at the server`);
      assert.equal(await server.metric('pouw_leases'), 0);
      const entries = await server.ledger();
      assert.equal(entries.length, REQUESTS);
      assert.equal(new Set(entries.map(({ id }) => id)).size, REQUESTS, 'no token counted twice');
      t.diagnostic(`${Math.round(told.ms)} ms for ${REQUESTS}, at most ${opened} open`);
    });
  }

  test(`${name}: a deadline ends those whose turn does not come, as such`, async (t) => {
    const server = await serve(t, {
      settings: 'paid_admissions_per_window = 100\nopen_challenges = [1, 1]\n',
      options: ['--rate', '1', '--floor', '100,100,100'],
    });
    const told = await send(t, server.url, { deadlineMs: 1_500 });
    const { 200: admitted, 'PouwError deadline': late, ...others } = told.outcomes;
    assert.deepEqual(others, {});
    assert.equal(admitted + late, REQUESTS);
    // Each waits 100 ms, one after the other. A slow machine admits few.
    assert.ok(admitted >= 1 && admitted <= 15, `${admitted} admitted`);
    // What was on its way at the deadline may have been taken.
    const entries = (await server.ledger()).length;
    assert.ok(entries === admitted || entries === admitted + 1, `${entries} entries, ${admitted} admitted`);
    t.diagnostic(`${admitted} admitted, ${late} too late`);
  });
}
