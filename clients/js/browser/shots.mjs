// Pictures of the pages as people see them, in shots/: idle, at work, done and over the limit; light and dark; on a
// phone and on a desktop.
import { mkdirSync, rmSync } from 'node:fs';
import { Server } from '../test/server.mjs';
import { binary, DESKTOP, eventually, launchChromium, PHONE } from './harness.mjs';

const out = new URL('shots/', import.meta.url).pathname;
rmSync(out, { recursive: true, force: true });
mkdirSync(out);
const browser = await launchChromium();

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

for (const [device, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
  for (const colorScheme of ['light', 'dark']) {
    const name = (state) => `${state}-${device}-${colorScheme}`;
    const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: 1 });
    await withServer({ options: ['--rate', '12', '--floor', '900,900,900'] }, async (url) => {
      const page = await context.newPage();
      await page.goto(url);
      await shot(page, name('idle'));
      await page.locator('#burst').click();
      await page.locator('pouw-progress [role=progressbar]').waitFor();
      await barMoved(page);
      await shot(page, name('working'));
      await page.locator('#burst:enabled').waitFor();
      await page.locator('#receipts summary').first().click();
      await eventually('the receipt', () => page.locator('#receipts pre').first().textContent());
      await shot(page, name('done'));
    });
    const setup = { options: ['--rate', '1', '--floor', '900,900,900', '--challenge-page'] };
    await withServer({ ...setup, settings: 'paid_admissions_per_window = 2\n' }, async (url) => {
      const page = await context.newPage();
      await page.goto(`${url}/hello`);
      await page.goto(`${url}/hello`);
      await page.locator('pouw-progress [role=progressbar]').waitFor();
      await barMoved(page);
      await shot(page, name('challenge'));
      await page.getByText('hello').waitFor();
    });
    await withServer({ options: ['--rate', '1', '--floor', '0,0,0'] }, async (url) => {
      const page = await context.newPage();
      await page.goto(url);
      await page.locator('#burst').click();
      await page.getByText('there is room again').waitFor();
      await shot(page, name('ceiling'));
    });
    await context.close();
  }
}
await browser.close();
