// What one answer on the challenge page buys, in Chromium: a page with its images, and other tabs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, launchChromium, open, watch } from './harness.mjs';
import { IMAGES, pictures } from './pictures.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const through = (page) =>
  page.waitForFunction(() => document.title === 'through', undefined, { timeout: 60_000 });
const loaded = (page) =>
  page.evaluate(
    () => [...document.images].filter(({ complete, naturalWidth }) => complete && naturalWidth > 0).length,
  );

test('a page and all its images arrive after one challenge', async (t) => {
  const limited = await pictures(t);
  const { page, seen } = await open(t, browser);
  await page.goto(limited.url);
  await through(page);
  await eventually('the images', async () => (await loaded(page)) === IMAGES);
  assert.deepEqual([limited.pages, limited.images], [1, IMAGES]);
  assert.equal((await limited.ledger()).length, 1, 'one answer');
  assert.deepEqual(seen.uncaught, []);
});

for (const floor of [300, 8_000]) {
  test(`twelve tabs opened at once all arrive, with a floor of ${floor} ms`, async (t) => {
    const limited = await pictures(t, { floor });
    const first = await open(t, browser);
    const context = first.page.context();
    await context.route('**/image/*', (route) => route.abort());
    const tabs = [
      first,
      ...(await Promise.all(Array.from({ length: 11 }, async () => watch(await context.newPage())))),
    ];
    const started = performance.now();
    await Promise.all(tabs.map(({ page }) => page.goto(limited.url)));
    await Promise.all(tabs.map(({ page }) => through(page)));
    t.diagnostic(`the last of twelve after ${((performance.now() - started) / 1_000).toFixed(1)} s`);
    assert.equal(limited.pages, 12);
    const answers = (await limited.ledger()).length;
    assert.ok(answers >= 1 && answers <= 4, `${answers} answers`);
    for (const { seen } of tabs) assert.deepEqual(seen.uncaught, []);
  });
}
