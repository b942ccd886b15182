// The page that a navigation over the limit gets, in Chromium.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, before, test } from 'node:test';
import { accessibilityProblems, eventually, launchChromium, open, serve, watch } from './harness.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const quiet = { errors: [], warnings: [], uncaught: [] };

/** A server that gives navigations a page, with its limit used up. Each answer buys one page. */
async function limited(t, { floor = '300', settings = '', ...setup } = {}) {
  const options = ['--challenge-page', '--rate', '1', '--floor', Array(3).fill(floor).join()];
  const server = await serve(t, {
    options,
    settings: `paid_admissions_per_window = 50\nanswer_buys = { requests = 1, seconds = 60 }\n${settings}`,
    ...setup,
  });
  assert.equal((await fetch(`${server.url}/hello`)).status, 200);
  return server;
}

/** Counts the navigations of a page to paths behind the gate. */
function countNavigations(page) {
  const asked = [];
  page.on('request', (request) => request.isNavigationRequest() && asked.push(request.url()));
  return asked;
}

const content = async (page) => (await page.locator('body').textContent()).trim();
const through = (page) => page.locator('pre', { hasText: /^hello\s*$/ }).waitFor();

test('a navigation over the limit gets its page by itself, with its query', async (t) => {
  const server = await limited(t);
  const { page, seen } = await open(t, browser);
  for (const path of ['/hello', '/hello?q=a%20b&c=%3Cd%3E#e']) {
    const asked = countNavigations(page);
    const workers = [];
    page.on('worker', (worker) => workers.push(worker.url()));
    const response = await page.goto(server.url + path);
    assert.equal(response.status(), 429);
    assert.match(response.headers()['content-type'], /^text\/html/);
    assert.match(
      response.headers()['content-security-policy'],
      /default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/,
    );
    // What the page shows meanwhile is gone too soon to be looked at here.
    await through(page);
    assert.deepEqual(workers, [`${server.url}/pouw/assets/worker.js`]);
    assert.equal(page.url(), server.url + path);
    assert.deepEqual(asked, Array(2).fill(server.url + path.replace(/#.*/, '')));
    assert.deepEqual(await page.context().cookies(), [], 'the cookie is gone');
    page.removeAllListeners('request');
    page.removeAllListeners('worker');
  }
  assert.deepEqual(seen, quiet);
  assert.equal((await server.ledger()).length, 2);
});

test('two tabs at once both get through', async (t) => {
  const server = await limited(t);
  const first = await open(t, browser);
  const second = watch(await first.page.context().newPage());
  await Promise.all([first, second].map(({ page }) => page.goto(`${server.url}/hello`)));
  await Promise.all([through(first.page), through(second.page)]);
  for (const { seen } of [first, second]) assert.deepEqual([seen.uncaught, seen.errors], [[], []]);
});

test('cookies are refused: it ends with a button, and asks no further', async (t) => {
  const { url } = await limited(t, { floor: '100' });
  const { page, seen } = await open(t, browser);
  const session = await page.context().newCDPSession(page);
  await session.send('Emulation.setDocumentCookieDisabled', { disabled: true });
  const asked = countNavigations(page);
  await page.goto(`${url}/hello`);
  const again = page.getByRole('button', { name: 'Try again' });
  await again.waitFor();
  assert.ok(await again.evaluate((one) => one === document.activeElement));
  assert.match(await page.locator('#status').textContent(), /^That did not work\./);
  assert.deepEqual(await accessibilityProblems(page), []);
  await page.waitForTimeout(1_000);
  assert.equal(asked.length, 1);
  assert.ok(
    seen.warnings.some((text) => text.includes('does not store cookies')),
    String(seen.warnings),
  );
  assert.deepEqual(seen.uncaught, []);
  await session.send('Emulation.setDocumentCookieDisabled', { disabled: false });
  await again.press('Enter');
  await through(page);
});

test('cookies that do not arrive: after three answers in a row it ends with a button', async (t) => {
  const server = await limited(t, { floor: '100' });
  let strips = true;
  const between = createServer((asked, response) => {
    const { cookie, ...headers } = asked.headers;
    if (!strips && cookie) headers.cookie = cookie;
    request(server.url + asked.url, { headers, agent: false }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    }).end();
  });
  await new Promise((resolve) => between.listen(0, '127.0.0.1', resolve));
  t.after(() => between.close());
  const { page, seen } = await open(t, browser);
  const asked = countNavigations(page);
  await page.goto(`http://127.0.0.1:${between.address().port}/hello`);
  const again = page.getByRole('button', { name: 'Try again' });
  await again.waitFor();
  await page.waitForTimeout(1_000);
  assert.equal(asked.length, 4);
  assert.deepEqual(seen.uncaught, []);
  strips = false;
  await again.click();
  await through(page);
});

test('no work: it says so, waits as long as the server says and asks again', async (t) => {
  const { url } = await serve(t, {
    files: [],
    settings: 'synthetic = false\n',
    options: ['--challenge-page', '--rate', '1', '--window', '3'],
  });
  assert.equal((await fetch(`${url}/hello`)).status, 200);
  const { page, seen } = await open(t, browser);
  const started = performance.now();
  await page.goto(`${url}/hello`);
  await page.getByText(/^This server has no work to hand out right now\.$/).waitFor();
  await page
    .locator('pouw-progress [part=text]', { hasText: /^This page tries again automatically\.$/ })
    .waitFor();
  await page.locator('pouw-progress [part=time]', { hasText: /^About [1-4] seconds? left\.$/ }).waitFor();
  assert.deepEqual(await accessibilityProblems(page), []);
  await through(page);
  assert.ok(performance.now() - started > 1_500);
  assert.deepEqual(seen, quiet);
});

test('WebAssembly and workers refused: the page is given all the same', async (t) => {
  const { url } = await limited(t);
  const { page, seen } = await open(t, browser);
  await page.route('**/hello', async (route) => {
    const response = await route.fetch();
    const headers = response.headers();
    const policy = headers['content-security-policy'];
    const refused = policy
      ?.replace("'wasm-unsafe-eval'", '')
      .replace("worker-src 'self'", "worker-src 'none'");
    if (refused !== undefined) headers['content-security-policy'] = refused;
    await route.fulfill({ response, headers });
  });
  await page.goto(`${url}/hello`);
  await through(page);
  assert.equal(seen.warnings.filter((text) => text.startsWith('pouw:')).length, 2, String(seen.warnings));
  assert.deepEqual(seen.uncaught, []);
});

test('the server gone in the middle: the browser says so as for any page', async (t) => {
  const server = await limited(t, { floor: '5000' });
  const { page, seen } = await open(t, browser);
  await page.goto(`${server.url}/hello`);
  await page.locator('pouw-progress [role=progressbar]').waitFor();
  await server.stop('SIGKILL');
  await eventually('an error page', () =>
    page.evaluate(() => location.protocol === 'chrome-error:').catch(() => false),
  );
  assert.deepEqual(seen.uncaught, []);
});

test('without JavaScript it says that waiting works', async (t) => {
  const { url } = await limited(t);
  const { page } = await open(t, browser, { javaScriptEnabled: false });
  const response = await page.goto(`${url}/hello`);
  assert.equal(response.status(), 429);
  assert.match(await content(page), /Nothing is lost\. Wait \d+ s, then reload this page\./);
  assert.ok(await page.locator('#again').isHidden());
});

test('the site is named, on a colour that its name can be read on, and says where to ask', async (t) => {
  const settings =
    'site_name = "Example & Sons"\nsite_color = "#ffd84d"\nsite_contact = "mailto:help@site.example"\n';
  const { url } = await limited(t, { floor: '50000', settings });
  const { page, seen } = await open(t, browser, { colorScheme: 'dark' });
  await page.goto(`${url}/hello`);
  await page.locator('pouw-progress [role=progressbar]').waitFor();
  const look = await page.evaluate(() => ({
    site: document.getElementById('site').textContent,
    ink: getComputedStyle(document.getElementById('site')).color,
    strip: getComputedStyle(document.querySelector('header rect')).fill,
    covers: ['svg', 'rect'].map((name) => {
      const { width, height } = document.querySelector(`header ${name}`).getBoundingClientRect();
      const header = document.querySelector('header').getBoundingClientRect();
      return width === header.width && height === header.height;
    }),
    link: document.querySelector('main a').href,
  }));
  assert.deepEqual(look, {
    site: 'Example & Sons',
    ink: 'rgb(0, 0, 0)',
    strip: 'rgb(255, 216, 77)',
    covers: [true, true],
    link: 'mailto:help@site.example',
  });
  assert.deepEqual(seen, quiet);
});

test('a site without a name is called by its host', async (t) => {
  const { url } = await limited(t, { floor: '50000' });
  const { page } = await open(t, browser);
  await page.goto(`${url}/hello`);
  await page.locator('#site', { hasText: new URL(url).host }).waitFor();
});
