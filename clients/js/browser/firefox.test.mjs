// Both pages in Firefox as it is installed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Firefox, firefox } from './marionette.mjs';
import { eventually, serve } from './harness.mjs';

const skip = firefox() === undefined && 'there is no firefox';

async function open(t, url) {
  const browser = await Firefox.launch();
  t.after(() => browser.close());
  await browser.goto(url);
  return browser;
}

test('Firefox: a burst is free up to the limit and paid for beyond it', { skip }, async (t) => {
  const server = await serve(t, {
    settings: 'paid_admissions_per_window = 50\n',
    options: ['--rate', '5', '--floor', '300,300,300'],
  });
  const browser = await open(t, server.url);
  await browser.evaluate(() => {
    // On the page itself: scripts of the driver have a global object of their own.
    document.addEventListener('securitypolicyviolation', (event) => {
      document.documentElement.dataset.violation = event.blockedURI;
    });
    document.getElementById('burst').click();
  });
  const text = (id) => browser.evaluate((id) => document.getElementById(id).textContent, id);
  await eventually('the burst ends', async () => (await text('status')).includes('went through'));
  assert.equal(await text('status'), '5 requests were within the limit, 3 requests went through for work.');
  assert.equal(await text('admitted'), '3');
  const seen = await browser.evaluate(() => ({
    violation: document.documentElement.dataset.violation ?? '',
    hatched: document.querySelectorAll('#tree .hatch').length,
    said: document.querySelector('pouw-progress').shadowRoot.querySelector('[role=status]').textContent,
    worker: performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/worker.js')),
    wasm: performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/pouw.wasm')),
  }));
  assert.ok(seen.hatched > 0);
  assert.equal(seen.violation, '');
  assert.equal(seen.said, 'Done. Your request went through.');
  assert.ok(seen.worker && seen.wasm, 'the worker and the module were loaded');
  assert.equal((await server.ledger()).length, 3);
});

test('Firefox: a navigation over the limit gets its page by itself', { skip }, async (t) => {
  const server = await serve(t, { options: ['--challenge-page', '--rate', '1', '--floor', '300,300,300'] });
  assert.equal((await fetch(`${server.url}/hello`)).status, 200);
  const browser = await open(t, `${server.url}/hello?q=1`);
  const content = () => browser.evaluate(() => document.body.textContent.trim()).catch(() => '');
  await eventually('the page', async () => (await content()) === 'hello');
  assert.equal(await browser.evaluate(() => location.search), '?q=1');
  assert.equal(await browser.evaluate(() => document.cookie), '');
  assert.equal((await server.ledger()).length, 1);
});
