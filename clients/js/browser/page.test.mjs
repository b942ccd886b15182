// The page to try it on, in Chromium, under the policy that the server sends.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DESKTOP, eventually, launchChromium, open, PHONE, progressText, serve } from './harness.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const BURST = {
  settings: 'paid_admissions_per_window = 50\n',
  options: ['--rate', '5', '--floor', '300,300,300'],
};
const SLOW = { options: ['--rate', '2', '--floor', '5000,5000,5000'] };
const quiet = { errors: [], warnings: [], uncaught: [] };

const burstEnds = (page) => page.locator('#burst:enabled').waitFor();
const status = (page) => page.locator('#status').textContent();
const marks = (page, state) => page.locator(`#requests .${state}`).count();

/** Notes down every value of the bar and every text that is read out. */
async function record(page) {
  await page.addInitScript(() => {
    globalThis.told = { values: [], texts: [] };
    void customElements.whenDefined('pouw-progress').then(() => {
      const root = document.querySelector('pouw-progress').shadowRoot;
      const [bar, text] = ['rect', '[part=text]'].map((part) => root.querySelector(part));
      const note = () => {
        const values = Number.parseFloat(bar.getAttribute('width'));
        const { texts } = globalThis.told;
        globalThis.told.values.push(values);
        if (texts.at(-1) !== text.textContent) texts.push(text.textContent);
      };
      const options = { subtree: true, attributes: true, childList: true, characterData: true };
      new MutationObserver(note).observe(root, options);
    });
  });
}

test('a burst is free up to the limit and paid for beyond it', async (t) => {
  const server = await serve(t, BURST);
  const { page, seen } = await open(t, browser);
  await record(page);
  // Counts inside of the worker how often the module is put to work there.
  await page.route('**/worker.js', async (route) => {
    const response = await route.fetch();
    const count =
      'self.modules = 0; const { instantiate } = WebAssembly;' +
      'WebAssembly.instantiate = (...given) => { self.modules += 1; return instantiate(...given); };';
    await route.fulfill({ response, body: count + (await response.text()) });
  });
  const response = await page.goto(server.url);
  const policy = response.headers()['content-security-policy'];
  const directives = Object.fromEntries(
    policy.split('; ').map((one) => [one.split(' ')[0], one.split(' ').slice(1).join(' ')]),
  );
  assert.deepEqual(directives, {
    'default-src': "'none'",
    'script-src': "'self' 'wasm-unsafe-eval'",
    'worker-src': "'self'",
    'connect-src': "'self'",
    'style-src': "'self'",
    'img-src': "'self'",
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
  });
  await page.locator('#burst').click();
  await page.locator('pouw-progress [role=progressbar]').waitFor();
  assert.ok(await page.locator('#burst').isDisabled());
  assert.ok(await page.locator('#stop').isVisible());
  assert.match(await page.locator('#why').textContent(), /^You are over the limit\. .* 0\.3 s/);
  await eventually('a worker', () => page.workers().length > 0);
  const [worker] = page.workers();
  assert.ok(worker?.url().endsWith('/pouw/assets/worker.js'), 'a worker runs');
  await eventually('WebAssembly runs in it', () => worker.evaluate(() => globalThis.modules > 0));
  await burstEnds(page);

  assert.equal(await status(page), '5 requests were within the limit, 3 requests went through for work.');
  assert.ok(await page.locator('#why').isHidden());
  assert.deepEqual([await marks(page, 'free'), await marks(page, 'paid')], [5, 3]);
  assert.equal(await page.locator('#requests li').count(), 8);
  const { values, texts } = await page.evaluate(() => globalThis.told);
  assert.ok(values.every((width) => width >= 0 && width <= 100));
  assert.ok(values.includes(0) && values.some((width) => width > 50));
  const usual = [
    'Done. Your request went through.',
    'The wait is over. Your request is being sent.',
    'The work is done. The site asks for a short wait.',
    'Your device is working on it.',
  ];
  assert.deepEqual(
    [...new Set(texts)].filter((text) => text !== '' && !usual.includes(text)),
    [],
  );
  // On a slow machine the wait may be over before the work is.
  assert.ok(
    texts.includes(usual[0]) && usual.slice(1, 3).some((text) => texts.includes(text)),
    String(texts),
  );

  const figure = (id) =>
    page
      .locator(`#${id}`)
      .textContent()
      .then((text) => Number(text.replaceAll(',', '')));
  assert.equal(await figure('admitted'), 3);
  const receipts = page.locator('#receipts details');
  assert.equal(await receipts.count(), 3);
  let [credits, hashes, leaves] = [0, 0, 0];
  for (const receipt of await receipts.all()) {
    await receipt.locator('summary').click();
    const text = await eventually('a receipt', () => receipt.locator('pre').textContent());
    const told = JSON.parse(text);
    assert.equal(told.state, 'accepted');
    assert.equal(await receipt.locator('summary').textContent(), `Receipt ${told.id}`);
    const words = (await receipt.locator('p').textContent()).replaceAll(',', '');
    assert.match(words, /^Your device computed \d+ hash(es)? of a stored file\. The server checked /);
    assert.ok(
      words.includes(` ${told.nodes} hash`) && words.includes(`Credit: ${told.microJoules} microjoule`),
    );
    credits += told.microJoules;
    hashes += told.nodes;
    leaves += told.leaves;
  }
  assert.deepEqual([await figure('credits'), await figure('hashes')], [credits, hashes]);

  const tree = page.locator('#tree');
  await eventually(
    'the tree has all of it',
    async () => Number(await tree.getAttribute('data-done')) === leaves,
  );
  assert.equal(await tree.getAttribute('data-own'), String(leaves));
  assert.equal(await page.locator('#tree .tile').count(), 40);
  assert.equal(await page.locator('#tree .tile.own[data-done="100"]').count(), leaves);
  assert.equal(await page.locator('#tree .tile:not(.own)').count(), 40 - leaves);
  assert.ok((await page.locator('#tree .hatch').count()) >= leaves, 'own leaves are hatched');
  assert.ok((await page.locator('#tree-caption').textContent()).includes(`hashed: ${leaves} of 40.`));
  assert.deepEqual(seen, quiet);
  assert.equal((await server.ledger()).length, 3);
});

test('Stop ends a burst', async (t) => {
  const { url } = await serve(t, SLOW);
  const { page, seen } = await open(t, browser);
  await page.goto(url);
  await page.locator('#burst').click();
  await page.locator('#why').waitFor();
  await page.locator('#stop').click();
  await burstEnds(page);
  assert.equal(await status(page), 'Stopped. Requests that were already sent may still have counted.');
  assert.ok(await page.locator('#stop').isHidden());
  assert.equal(await progressText(page), '');
  assert.deepEqual(seen, quiet);
});

test('all of it works by keyboard, and the focus is never lost', async (t) => {
  const { url } = await serve(t, BURST);
  const { page } = await open(t, browser);
  await page.goto(url);
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.localName);
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'burst');
  await page.keyboard.press('Enter');
  await page.locator('#why').waitFor();
  assert.equal(await focused(), 'stop');
  await page.keyboard.press('Space');
  await burstEnds(page);
  assert.equal(await focused(), 'burst');
  await page.keyboard.press('Enter');
  await page.locator('#receipts summary').first().waitFor();
  await burstEnds(page);
  assert.equal(await focused(), 'burst');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'summary');
  await page.keyboard.press('Enter');
  await eventually('a receipt', () => page.locator('#receipts pre').first().textContent());
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'pre', 'what scrolls can be reached');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid');
});

test('whoever has gone on to something else keeps the focus there', async (t) => {
  const { url } = await serve(t, BURST);
  const { page } = await open(t, browser);
  await page.goto(url);
  await page.locator('#burst').click();
  await page.locator('#why').waitFor();
  await page.locator('footer a').first().focus();
  assert.ok(await page.locator('#burst').isDisabled());
  await burstEnds(page);
  assert.equal(await page.evaluate(() => document.activeElement.localName), 'a');
});

for (const [device, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
  test(`it fits on a ${device}`, async (t) => {
    const { url } = await serve(t, { options: ['--rate', '40', '--floor', '100,100,100'] });
    const { page } = await open(t, browser, { viewport, hasTouch: device === 'phone' });
    await page.goto(url);
    await page.locator('#burst').click();
    await burstEnds(page);
    for (const summary of await page.locator('#receipts summary').all()) await summary.click();
    await page.locator('#tree').waitFor();
    const { wide, small } = await page.evaluate(() => {
      const buttons = [...document.querySelectorAll('button, summary')].filter((one) =>
        one.checkVisibility(),
      );
      const small = buttons
        .filter((one) => one.getBoundingClientRect().height < 24)
        .map((one) => one.outerHTML);
      return { wide: document.documentElement.scrollWidth, small };
    });
    assert.ok(wide <= viewport.width, `${wide} pixels wide`);
    assert.deepEqual(small, []);
  });
}

test('nothing moves for those who want it so', async (t) => {
  for (const [reducedMotion, expected] of [
    ['reduce', '0s'],
    ['no-preference', '0.2s'],
  ]) {
    const { url } = await serve(t, BURST);
    const { page } = await open(t, browser, { reducedMotion });
    await page.goto(url);
    const bar = page.locator('pouw-progress rect');
    assert.equal(await bar.evaluate((one) => getComputedStyle(one).transitionDuration), expected);
    await page.locator('#burst').click();
    await page.locator('pouw-progress [role=progressbar]').waitFor();
    const moving = await page.evaluate(() => {
      const own = document.querySelector('pouw-progress').shadowRoot.getAnimations();
      return document.getAnimations().length + own.length;
    });
    if (reducedMotion === 'reduce') assert.equal(moving, 0);
    await burstEnds(page);
  }
});

test('without JavaScript the page says what it would be and that waiting works', async (t) => {
  const { url } = await serve(t);
  const { page } = await open(t, browser, { javaScriptEnabled: false });
  await page.goto(url);
  const words = await page.locator('body').innerText();
  assert.match(words, /With JavaScript, your device can do a little useful work to make more of them/);
  assert.match(words, /Without it, wait: after a minute you can make requests again/);
  assert.ok(await page.locator('#burst').isHidden());
  assert.ok(await page.locator('section').first().isHidden(), 'no empty boxes');
  assert.deepEqual((await page.locator('a').allTextContents()).toSorted(), ['Health', 'Metrics']);
});
