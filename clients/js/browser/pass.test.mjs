// What one answer on the challenge page buys, in Chromium: a page with its images, and other tabs.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, before, test } from 'node:test';
import { eventually, launchChromium, open, serve, watch } from './harness.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const IMAGES = 40;
const SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>";
const PAGE = `<!doctype html><title>through</title>
  ${Array.from({ length: IMAGES }, (_, at) => `<img src="/image/${at}">`).join('')}`;

/** A site with a page of images behind a limit of `rate`, which is used up. Every request asks the limiter. */
async function site(t, rate, floor = 300) {
  const options = ['--challenge-page', '--rate', String(rate), '--floor', Array(3).fill(floor).join()];
  const limiter = await serve(t, { options });
  for (let i = 0; i < rate; i++) assert.equal((await fetch(`${limiter.url}/hello`)).status, 200);
  const seen = { pages: 0, images: 0, ledger: () => limiter.ledger() };
  const server = createServer((asked, response) => {
    const image = asked.url.startsWith('/image/');
    const path = image || asked.url === '/' ? '/hello' : asked.url;
    request(limiter.url + path, { headers: asked.headers, agent: false }, (reply) => {
      const { 'content-length': _, 'transfer-encoding': __, ...headers } = reply.headers;
      if (reply.statusCode !== 200 || path !== '/hello') {
        response.writeHead(reply.statusCode, reply.headers);
        return reply.pipe(response);
      }
      reply.resume();
      seen[image ? 'images' : 'pages'] += 1;
      response.writeHead(200, { ...headers, 'content-type': image ? 'image/svg+xml' : 'text/html' });
      return response.end(image ? SVG : PAGE);
    })
      .on('error', () => response.destroy())
      .end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  seen.url = `http://127.0.0.1:${server.address().port}/`;
  return seen;
}

const through = (page) =>
  page.waitForFunction(() => document.title === 'through', undefined, { timeout: 60_000 });
const loaded = (page) =>
  page.evaluate(
    () => [...document.images].filter(({ complete, naturalWidth }) => complete && naturalWidth > 0).length,
  );

test('a page and all its images arrive after one challenge', async (t) => {
  const limited = await site(t, 5);
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
    const limited = await site(t, 5, floor);
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
