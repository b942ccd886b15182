// Pictures of the pages as people see them, in shots/: idle, at work, done, over the limit, waiting and after a form; light
// and dark; on a phone, on a desktop and on a narrow screen in other languages.
import { mkdirSync, rmSync } from 'node:fs';
import { behind } from './behind.mjs';
import { Server } from '../test/server.mjs';
import { binary, DESKTOP, eventually, launchChromium, PHONE } from './harness.mjs';

const out = new URL('shots/', import.meta.url).pathname;
rmSync(out, { recursive: true, force: true });
mkdirSync(out);
const browser = await launchChromium();

/** Ends what was started, in place of a test. */
const closing = {
  all: [],
  after: (close) => closing.all.push(close),
  now: () => closing.all.splice(0).forEach((close) => close()),
};

async function withServer(setup, work) {
  const server = await Server.start(binary(), { files: [160_000], ...setup });
  try {
    await work(server.url);
  } finally {
    await server.close();
  }
}

async function shot(page, name) {
  await page.screenshot({ path: `${out}${name}.png`, fullPage: true });
  console.log(`shots/${name}.png`);
}

/** The bar moves for a fifth of a second. */
const barMoved = (page) => page.waitForTimeout(300);

const NARROW = { width: 320, height: 700 };
const LOOKS = [
  ...Object.entries({ desktop: DESKTOP, phone: PHONE }).flatMap(([device, viewport]) =>
    ['light', 'dark'].map((colorScheme) => [`${device}-${colorScheme}`, { viewport, colorScheme }]),
  ),
  ['narrow-ar', { viewport: NARROW, colorScheme: 'light', locale: 'ar' }],
  ['narrow-ja-dark', { viewport: NARROW, colorScheme: 'dark', locale: 'ja' }],
];
const SITE =
  'paid_admissions_per_window = 10\nopen_challenges = [9, 1]\n' +
  'site_name = "Example Library"\nsite_color = "#2457c5"\nsite_contact = "mailto:help@site.example"\n';

for (const [look, options] of LOOKS) {
  const name = (state) => `${state}-${look}`;
  const context = await browser.newContext({ ...options, deviceScaleFactor: 1 });
  await withServer({ options: ['--rate', '12', '--floor', '2500,2500,2500'] }, async (url) => {
    const page = await context.newPage();
    await page.goto(url);
    await shot(page, name('idle'));
    await page.locator('#burst').click();
    await page.locator('pouw-progress [part=time]:not(:empty)').waitFor();
    await barMoved(page);
    await shot(page, name('working'));
    await page.locator('#burst:enabled').waitFor();
    await page.locator('#receipts summary').first().click();
    await eventually('the receipt', () => page.locator('#receipts pre').first().textContent());
    await shot(page, name('done'));
  });
  const limited = ['--rate', '1', '--challenge-page'];
  await withServer({ options: [...limited, '--floor', '5000,5000,5000'], settings: SITE }, async (url) => {
    const page = await context.newPage();
    await page.goto(`${url}/hello`);
    await page.goto(`${url}/hello`);
    await page.locator('pouw-progress [part=time]:not(:empty)').waitFor();
    await page.waitForTimeout(1_500);
    await shot(page, name('challenge'));
    await page.locator('pre', { hasText: 'hello' }).waitFor();
    const site = await behind(closing, url);
    await page.goto(`${site.url}/start`);
    await page.locator('#send').click();
    await page.locator('#again:visible').waitFor();
    await shot(page, name('form'));
  });
  await withServer({ files: [], options: limited, settings: `synthetic = false\n${SITE}` }, async (url) => {
    const page = await context.newPage();
    await page.goto(`${url}/hello`);
    await page.goto(`${url}/hello`);
    await page.locator('pouw-progress [part=time]:not(:empty)').waitFor();
    await barMoved(page);
    await shot(page, name('waiting'));
  });
  await context.close();
  closing.now();
}
await browser.close();
