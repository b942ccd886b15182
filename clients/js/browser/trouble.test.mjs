// The page to try it on when something is refused, used up or gone.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, launchChromium, open, progressText, serve } from './harness.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const BURST = { options: ['--rate', '5', '--floor', '300,300,300'] };
const status = (page) => page.locator('#status').textContent();

async function burst(page) {
  await page.locator('#burst').click();
  await page.locator('#burst:enabled').waitFor();
  return status(page);
}

/** Serves everything with another policy than the server's. */
async function withPolicy(page, change) {
  await page.route('**/*', async (route) => {
    // The page may still look at its tree when the server of the test is gone.
    const response = await route.fetch().catch(() => undefined);
    if (response === undefined) return route.abort().catch(() => undefined);
    const headers = response.headers();
    const policy = headers['content-security-policy'];
    if (policy !== undefined) headers['content-security-policy'] = change(policy);
    return route.fulfill({ response, headers });
  });
}

test('WebAssembly refused by the policy: JavaScript hashes, and the console says why', async (t) => {
  const { url } = await serve(t, BURST);
  const { page, seen } = await open(t, browser);
  await withPolicy(page, (policy) => policy.replace("'wasm-unsafe-eval'", ''));
  await page.goto(url);
  assert.equal(await burst(page), '5 requests were within the limit, 3 requests went through for work.');
  assert.equal(page.workers().length, 1);
  const warnings = seen.warnings.filter((text) => text.startsWith('pouw:'));
  assert.equal(warnings.length, 1, String(seen.warnings));
  assert.match(
    warnings[0],
    /WebAssembly is not available .*; JavaScript hashes instead.*'wasm-unsafe-eval' in script-src/,
  );
  assert.deepEqual(seen.uncaught, []);
});

test('workers refused by the policy: the page hashes, and the console says why', async (t) => {
  const { url } = await serve(t, BURST);
  const { page, seen } = await open(t, browser);
  await withPolicy(page, (policy) => policy.replace("worker-src 'self'", "worker-src 'none'"));
  await page.goto(url);
  assert.equal(await burst(page), '5 requests were within the limit, 3 requests went through for work.');
  assert.equal(page.workers().length, 0);
  const warnings = seen.warnings.filter((text) => text.startsWith('pouw:'));
  assert.equal(warnings.length, 1, String(seen.warnings));
  assert.match(warnings[0], /the worker could not be started.*worker-src 'self'/);
  assert.deepEqual(seen.uncaught, []);
});

test('the server gone in the middle: the page says so, and can be used again', async (t) => {
  const server = await serve(t, { options: ['--rate', '2', '--floor', '800,800,800'] });
  const { page, seen } = await open(t, browser);
  await page.goto(server.url);
  await page.locator('#burst').click();
  await page.locator('pouw-progress [role=progressbar]').waitFor();
  await server.stop('SIGKILL');
  await page.locator('#burst:enabled').waitFor();
  assert.match(
    await status(page),
    /^2 requests were within the limit, 3 requests did not go through\. (The connection was lost while an answer|The server could not be reached)/,
  );
  assert.equal(await burst(page), '1 request did not go through. The server could not be reached.');
  assert.equal(await page.locator('#requests .failed').count(), 1);
  assert.deepEqual(seen.uncaught, []);
});

test('the ceiling on paid requests: the page says what that is and how long it lasts', async (t) => {
  // Longer than the minute that the client allows, at first.
  const { url } = await serve(t, { options: ['--rate', '1', '--window', '63', '--floor', '50,50,50'] });
  const { page, seen } = await open(t, browser);
  await page.goto(url);
  assert.match(
    await burst(page),
    /^1 request was within the limit, 1 request went through for work, 2 requests did not go through\. You have reached the number of requests that this server lets through for work\. Try again in \d\d s\.$/,
  );
  assert.equal(await progressText(page), '');
  // Soon after, there is just enough time to wait for it.
  await page.waitForTimeout(5_000);
  await page.locator('#burst').click();
  await page
    .getByText(/^You have reached the number .* The remaining requests are sent automatically in \d\d s/)
    .waitFor();
  await page.locator('#stop').click();
  await page.locator('#burst:enabled').waitFor();
  assert.match(await status(page), /^Stopped\./);
  assert.deepEqual(seen.uncaught, []);
});

test('a short ceiling is waited for, and the page says that it waits', async (t) => {
  const { url } = await serve(t, { options: ['--rate', '1', '--window', '3', '--floor', '50,50,50'] });
  const { page } = await open(t, browser);
  await page.goto(url);
  await page.locator('#burst').click();
  await page.getByText('The remaining requests are sent automatically in').waitFor();
  assert.match(
    await page.locator('#why').textContent(),
    /^You have reached the number .* sent automatically in [1-4] s\.$/,
  );
  assert.match(await progressText(page), /sent again automatically/);
  await page.locator('pouw-progress [part=time]', { hasText: /^About [1-4] seconds? left\.$/ }).waitFor();
  await page.locator('#burst:enabled').waitFor();
  assert.doesNotMatch(await status(page), /did not go through/);
});

test('the budget of bytes: the page says what that is', async (t) => {
  const settings = 'bytes_per_minute = 9_000\npaid_admissions_per_window = 100\n';
  const { url } = await serve(t, { settings, options: ['--rate', '1', '--floor', '50,50,50'] });
  const { page } = await open(t, browser);
  await page.goto(url);
  assert.match(
    await burst(page),
    /did not go through\. This server has sent you as much work as it allows for now\./,
  );
});

test('no work: the page says so', async (t) => {
  const settings = 'synthetic = false\n';
  const { url } = await serve(t, {
    files: [],
    settings,
    options: ['--rate', '1', '--window', '120', '--floor', '50,50,50'],
  });
  const { page } = await open(t, browser);
  await page.goto(url);
  assert.match(
    await burst(page),
    /^1 request was within the limit, 3 requests did not go through\. This server has no work to hand out right now\. Try again in 12\d s/,
  );
});

test('turns that do not come in time: the page says so', async (t) => {
  const { url } = await serve(t, {
    settings: 'paid_admissions_per_window = 50\n',
    options: ['--rate', '2', '--floor', '9000,9000,9000'],
  });
  const { page, seen } = await open(t, browser);
  await page.clock.install();
  await page.goto(url);
  await page.locator('#burst').click();
  await page.locator('pouw-progress [role=progressbar]').waitFor();
  await eventually('the hashing is done', async () =>
    (await progressText(page)).startsWith('The work is done'),
  );
  // All of the wait and of the deadline is of the page's own clock.
  await page.clock.runFor(61_000);
  await page.locator('#burst:enabled').waitFor();
  assert.equal(
    await status(page),
    '2 requests were within the limit, 3 requests did not go through. They took too long. Send fewer at once, or try again.',
  );
  assert.deepEqual(seen.uncaught, []);
});
