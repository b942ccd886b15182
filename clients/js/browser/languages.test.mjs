// Both pages in three languages, as axe and visitors see them, in Chromium. Each state lasts until the page is left,
// however slow the machine is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { accessibilityProblems, eventually, launchChromium, open, serve } from './harness.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const LONG = '100000,100000,100000';
// Below the deadline of a request.
const DEMO = '50000,50000,50000';
const ROOM = 'paid_admissions_per_window = 500\nopen_challenges = [64, 1]\ntoken_ttl_seconds = 600\n';
const SITE = 'site_name = "Example <Library>"\nsite_contact = "https://example.org/help"\n';

const LOOKS = ['en', 'ar', 'ja'].flatMap((locale) =>
  ['light', 'dark'].map((colorScheme) => ({ locale, colorScheme })),
);
const WORDS = {
  en: {
    title: 'One moment',
    direction: 'ltr',
    left: /^About \d+ (seconds?|minutes?) left\.$/,
    again: 'Try again',
  },
  ar: { title: 'لحظة من فضلك', direction: 'rtl', left: /^بقيت \S+ \S+ تقريبًا\.$/, again: 'حاول مرة أخرى' },
  ja: {
    title: '少々お待ちください',
    direction: 'ltr',
    left: /^残り約 \d+ (秒|分)です。$/,
    again: 'もう一度試す',
  },
};

const time = (page, pattern) => page.locator('pouw-progress [part=time]', { hasText: pattern }).waitFor();
const look = async (page, state) => assert.deepEqual(await accessibilityProblems(page), [], state);

/** A limiter whose limit is used up. */
async function limited(t, setup) {
  const server = await serve(t, setup);
  assert.equal((await fetch(`${server.url}/hello`)).status, 200);
  return server;
}

test('the challenge page at work, waiting and failed', async (t) => {
  const options = ['--challenge-page', '--rate', '1'];
  const [working, waiting] = await Promise.all([
    limited(t, { settings: ROOM + SITE, options: [...options, '--floor', LONG] }),
    limited(t, {
      files: [],
      settings: `synthetic = false\n${SITE}`,
      options: [...options, '--window', '3600'],
    }),
  ]);
  for (const options of LOOKS) {
    const { title, direction, left, again } = WORDS[options.locale];
    const { page, seen } = await open(t, browser, options);
    const name = JSON.stringify(options);
    await page.goto(`${working.url}/hello`);
    await time(page, left);
    await look(page, `at work, ${name}`);
    assert.equal(await page.title(), `${title} \u2013 Example <Library>`);
    assert.equal(await page.locator('h1').textContent(), title);
    const root = await page.evaluate(() => [document.documentElement.lang, document.documentElement.dir]);
    assert.deepEqual(root, [options.locale, direction]);
    const widest = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await page.setViewportSize({ width: 320, height: 700 });
    assert.ok((await widest()) <= 0, 'it fits on 320 pixels');
    await page.goto(`${waiting.url}/hello`);
    await time(page, left);
    await look(page, `waiting, ${name}`);
    assert.ok((await widest()) <= 0, 'it fits on 320 pixels');
    assert.deepEqual(seen.uncaught, []);
    // With a unit that does not add up, it fails.
    await page.route('**/hello', async (route) => {
      const response = await route.fetch();
      const body = (await response.text()).replace('"nodeCount":', '"nodeCount":9');
      await route.fulfill({ response, body });
    });
    await page.goto(`${working.url}/hello`);
    await page.getByRole('button', { name: again }).waitFor();
    await look(page, `failed, ${name}`);
    await page.context().close();
  }
});

test('the page to try it on: idle, at work, waiting and done', async (t) => {
  const [working, waiting, done] = await Promise.all([
    serve(t, { settings: ROOM, options: ['--rate', '2', '--floor', DEMO] }),
    serve(t, { files: [], settings: 'synthetic = false\n', options: ['--rate', '1', '--window', '50'] }),
    serve(t, { files: [2_000_000], settings: ROOM, options: ['--rate', '2', '--floor', '50,50,50'] }),
  ]);
  for (const options of LOOKS) {
    const { left, direction } = WORDS[options.locale];
    const { page, seen } = await open(t, browser, options);
    const name = JSON.stringify(options);
    await page.goto(done.url);
    await look(page, `idle, ${name}`);
    const root = await page.evaluate(() => [document.documentElement.lang, document.documentElement.dir]);
    assert.deepEqual(root, [options.locale, direction]);
    await page.locator('#burst').click();
    await page.locator('#burst:enabled').waitFor();
    await page.locator('#receipts summary').first().click();
    const meaning = page.locator('#receipts details p').first();
    await eventually('the receipt in words', async () => (await meaning.textContent()) !== '');
    await page.locator('#tree').waitFor();
    await look(page, `done, ${name}`);
    assert.doesNotMatch(await page.locator('body').innerText(), /[{}]\w|\w[{}]/, 'all places are filled');
    await page.goto(working.url);
    await page.locator('#burst').click();
    await page.locator('pouw-progress [role=progressbar]').waitFor();
    await look(page, `at work, ${name}`);
    await page.goto(waiting.url);
    await page.locator('#burst').click();
    await time(page, left);
    await look(page, `waiting, ${name}`);
    assert.deepEqual(seen.uncaught, []);
    await page.context().close();
  }
});
