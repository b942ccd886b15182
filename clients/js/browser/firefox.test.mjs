// Both pages in Firefox as it is installed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Firefox, firefox } from './marionette.mjs';
import { behind } from './behind.mjs';
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
    said: document.querySelector('pouw-progress').shadowRoot.querySelector('[part=text]').textContent,
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
  assert.ok(!(await browser.evaluate(() => document.cookie)).includes('pouw-answer'), 'the answer is gone');
  assert.equal((await server.ledger()).length, 1);
});

/** A site whose limit is used up. */
async function limited(t) {
  const options = ['--challenge-page', '--rate', '1', '--floor', '100,100,100'];
  const settings = 'paid_admissions_per_window = 50\nanswer_buys = { requests = 1, seconds = 60 }\n';
  const server = await serve(t, { settings, options });
  assert.equal((await fetch(`${server.url}/hello`)).status, 200);
  return behind(t, server.url);
}

test(
  'Firefox: the page is scrolled to the fragment, in the same entry of the history',
  { skip },
  async (t) => {
    const site = await limited(t);
    const browser = await open(t, `${site.url}/start`);
    const at = () =>
      browser
        .evaluate(() => [document.title, location.href, scrollY > 2_000, history.length])
        .catch(() => []);
    const expected = (entries) => ['through', `${site.url}/hello#low`, true, entries];
    const arrives = async (entries) =>
      eventually('the place', async () => String(await at()) === String(expected(entries)));
    const [, , , before] = await at();
    await browser.goto(`${site.url}/hello#low`);
    await arrives(before + 1);
    await browser.command('WebDriver:Refresh');
    await arrives(before + 1);
    assert.equal(site.asked, 4, 'no loop');
    await browser.command('WebDriver:Back');
    await eventually('the start', async () => (await at())[0] === 'start');
    await browser.command('WebDriver:Forward');
    await arrives(before + 1);
  },
);

test('Firefox: a form is sent again by its visitor, and Back brings what was typed', { skip }, async (t) => {
  const site = await limited(t);
  const browser = await open(t, `${site.url}/start`);
  const typed = () => browser.evaluate(() => document.getElementById('word')?.value).catch(() => undefined);
  const ready = () =>
    browser.evaluate(() => document.getElementById('again')?.hidden === false).catch(() => false);
  const send = () =>
    browser.evaluate(() => {
      document.getElementById('word').value = 'typed words';
      document.getElementById('send').click();
    });
  const arrived = (posts) => eventually(`${posts} forms`, () => site.posts.length === posts);
  await send();
  await eventually('the button', ready);
  assert.equal(site.posts.length, 1, 'it is not sent by itself');
  await browser.command('WebDriver:Back');
  assert.equal(await eventually('the form', typed), 'typed words');
  // The answer is kept, so the form goes through from there too.
  await send();
  await arrived(2);
  await browser.goto(`${site.url}/start`);
  await send();
  await eventually('the button', ready);
  // Firefox asks whether the form may be sent again.
  await browser.evaluate(() => document.getElementById('again').click());
  const accept = () => browser.command('WebDriver:AcceptAlert').then(Boolean, () => false);
  await eventually('the question', accept);
  await arrived(4);
  assert.deepEqual(
    site.posts,
    [false, true, false, true].map((through) => ['word=typed+words', through]),
  );
});
