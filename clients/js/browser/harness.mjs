// A browser, the binary and a page, for tests and screenshots.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { start } from '../test/server.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The binary: the one that POUW_BIN names, else the one of the two usual ones that was built last. */
export function binary() {
  const { POUW_BIN } = process.env;
  const usual = ['release', 'debug'].map((profile) =>
    fileURLToPath(new URL(`../../../target/${profile}/pouw`, import.meta.url)),
  );
  const found = (POUW_BIN ? [POUW_BIN] : usual).filter((path) => existsSync(path));
  if (found.length === 0) {
    const looked = POUW_BIN ?? usual.join(' nor ');
    throw new Error(`there is no ${looked}: build it with cargo build --features serve, or set POUW_BIN`);
  }
  return found.toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

/** A server with a burst that ends soon; `setup` as for `Server.start`. */
export function serve(t, { options = [], settings = '', ...setup } = {}) {
  // One tree of forty leaves, or the drawing changes from tree to tree.
  return start(t, binary(), { files: [160_000], settings, options, ...setup });
}

/** The Chromium that POUW_CHROMIUM names, else the one of the usual places. */
export function chromiumPath() {
  const paths = [process.env.POUW_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'];
  const executablePath = paths.find((path) => path && existsSync(path));
  if (executablePath === undefined)
    throw new Error('there is no chromium: install it, or let POUW_CHROMIUM name one');
  return executablePath;
}

/** Chromium without a window. */
export function launchChromium() {
  return chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox'] });
}

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

/** A page in a context of its own, and all that it complains about. */
export async function open(t, browser, options = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, ...options });
  t.after(() => context.close());
  context.setDefaultTimeout(20_000);
  return watch(await context.newPage());
}

/** Notes down what a page complains about: `errors` and `warnings` of its console, and what it did not catch. */
export function watch(page) {
  const seen = { errors: [], warnings: [], uncaught: [] };
  page.on('console', (message) => {
    const text = message.text();
    // That a request met the limit, which is what the page is about.
    if (/^Failed to load resource: .* status of 429/.test(text)) return;
    if (message.type() === 'error') seen.errors.push(text);
    if (message.type() === 'warning') seen.warnings.push(text);
  });
  page.on('pageerror', (error) => seen.uncaught.push(String(error)));
  return { page, seen };
}

/** Waits until `look` gives something that is true; gives that. */
export async function eventually(what, look, timeoutMs = 20_000) {
  const started = performance.now();
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() - started > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What axe finds wrong with a page as it is. */
export async function accessibilityProblems(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

/** The files of the package that stand alone, at `/dist/` of whatever server the page came from. */
export async function withPackage(page) {
  const types = { js: 'text/javascript', wasm: 'application/wasm' };
  await page.route('**/dist/*', (route) => {
    const name = new URL(route.request().url()).pathname.slice('/dist/'.length);
    const body = readFileSync(new URL(`../dist/${name}`, import.meta.url));
    return route.fulfill({ body, contentType: types[name.split('.').at(-1)] });
  });
}

/** The text below the bar of `<pouw-progress>`. */
export const progressText = (page) => page.locator('pouw-progress [part=text]').textContent();
