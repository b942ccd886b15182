// What visitors see of the wait, and where they are when it is over, in Chromium.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { behind } from './behind.mjs';
import { eventually, launchChromium, open, serve } from './harness.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const quiet = { errors: [], warnings: [], uncaught: [] };

/** A site whose limit is used up. */
async function limited(t, { floor = 100, settings = '' } = {}) {
  const options = ['--challenge-page', '--rate', '1', '--floor', Array(3).fill(floor).join()];
  const all = `paid_admissions_per_window = 50\nanswer_buys = { requests = 1, seconds = 60 }\n${settings}`;
  const server = await serve(t, { options, settings: all });
  assert.equal((await fetch(`${server.url}/hello`)).status, 200);
  return server;
}

const through = (page) => page.waitForFunction(() => document.title === 'through');
const place = (page) => page.evaluate(() => [location.pathname + location.search + location.hash, scrollY]);

/** Notes down, from the start of a page on, what it shows and what moves. */
async function record(page) {
  await page.addInitScript(() => {
    const log = (globalThis.log = { shown: [], heard: [], shifts: 0 });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) log.shifts += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    const look = () => {
      const root = document.querySelector('pouw-progress')?.shadowRoot;
      if (root) {
        const [width, time, heard] = [
          Number.parseFloat(root.querySelector('rect').getAttribute('width')),
          root.querySelector('[part=time]').textContent,
          root.querySelector('[role=status]').textContent,
        ];
        log.shown.push([width, time]);
        if (log.heard.at(-1)?.[1] !== heard) log.heard.push([performance.now(), heard]);
        sessionStorage.setItem('log', JSON.stringify(log));
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}

test('the bar and the seconds follow the floor to its end, and nothing moves or chatters', async (t) => {
  const server = await limited(t, { floor: 7_000, settings: 'site_contact = "mailto:a@b.example"\n' });
  const { page } = await open(t, browser);
  await record(page);
  await page.goto(`${server.url}/hello`);
  await page.waitForFunction(() => document.body.textContent.trim() === 'hello');
  const { shown, heard, shifts } = JSON.parse(await page.evaluate(() => sessionStorage.getItem('log')));
  const widths = shown.map(([width]) => width);
  assert.ok(widths.every((width, at) => at === 0 || width >= widths[at - 1]));
  const half = shown.filter(([width]) => width > 20 && width < 80).length;
  assert.ok(half > shown.length / 4, `${half} of ${shown.length} pictures are in the middle`);
  const seconds = shown
    .flatMap(([, time]) => /^About (\d) seconds? left\.$/.exec(time)?.[1] ?? [])
    .map(Number);
  assert.ok(seconds.every((left, at) => at === 0 || left <= seconds[at - 1]));
  assert.deepEqual([...new Set(seconds)], [7, 6, 5, 4, 3, 2, 1].slice(-new Set(seconds).size));
  assert.ok(new Set(seconds).size >= 6, String([...new Set(seconds)]));
  const said = heard.filter(([, text]) => text !== '');
  assert.ok(said.length >= 2 && said.length <= 4, JSON.stringify(said));
  for (const [at, [time]] of said.slice(1).entries())
    assert.ok(time - said[at][0] > 4_900, JSON.stringify(said));
  assert.equal(shifts, 0);
});

test('work that is slower than the floor moves the bar, and is said to take longer', async (t) => {
  const { url } = await limited(t, { floor: 300 });
  const { page, seen } = await open(t, browser);
  // A worker that never gets to the end.
  await page.route('**/worker.js', (route) =>
    route.fulfill({
      contentType: 'text/javascript',
      body: `postMessage({ kind: 'ready' });
        onmessage = ({ data: { task } }) => {
          let done = 0;
          setInterval(() => {
            done = Math.min(task.nodeCount - 1, done + 1);
            postMessage({ kind: 'progress', progress: { done, total: task.nodeCount } });
          }, 200);
        };`,
    }),
  );
  await page.goto(`${url}/hello`);
  await page.locator('pouw-progress [part=text]', { hasText: 'This takes longer than expected.' }).waitFor();
  const width = await page.locator('pouw-progress rect').getAttribute('width');
  assert.ok(Number.parseFloat(width) < 100, width);
  assert.deepEqual(seen, quiet);
});

for (const [name, path] of [
  ['a fragment', '/hello?a=1#low'],
  ['a fragment and no query', '/hello#low'],
]) {
  test(`${name}: the page is scrolled to it, in the same entry of the history`, async (t) => {
    const site = await behind(t, (await limited(t)).url);
    const { page, seen } = await open(t, browser);
    await page.goto(`${site.url}/start`);
    const before = await page.evaluate(() => history.length);
    await page.goto(site.url + path);
    await through(page);
    await eventually('the place', async () => (await place(page))[1] > 2_000);
    assert.equal((await place(page))[0], path);
    assert.equal(await page.evaluate(() => history.length), before + 1);
    assert.equal(site.asked, 2, 'no loop');
    await page.reload();
    await through(page);
    await eventually('the place', async () => (await place(page))[1] > 2_000);
    assert.equal((await place(page))[0], path);
    assert.equal(site.asked, 4);
    await page.goBack();
    assert.deepEqual(await place(page), ['/start', 0]);
    await page.goForward();
    await through(page);
    await eventually('the place', async () => (await place(page))[1] > 2_000);
    assert.equal((await place(page))[0], path);
    assert.equal(await page.evaluate(() => history.length), before + 1);
    assert.deepEqual(seen.uncaught, []);
  });
}

test('a form: the work is done, and the visitor sends it again', async (t) => {
  const site = await behind(t, (await limited(t)).url);
  const { page, seen } = await open(t, browser);
  page.on('dialog', (dialog) => dialog.accept());
  await page.goto(`${site.url}/start`);
  await page.locator('#word').fill('typed words');
  await page.locator('#send').click();
  const again = page.getByRole('button', { name: 'Send again' });
  await again.waitFor();
  assert.match(
    await page.locator('#status').textContent(),
    /^Your form has not been sent yet, and nothing that you typed is lost\./,
  );
  assert.ok(await again.evaluate((one) => one === document.activeElement));
  await page.waitForTimeout(500);
  assert.deepEqual(site.posts, [['word=typed+words', false]], 'it is not sent by itself');
  await again.press('Enter');
  await through(page);
  assert.deepEqual(site.posts, [
    ['word=typed+words', false],
    ['word=typed+words', true],
  ]);
  assert.deepEqual(seen.uncaught, []);
});

test('a form: Back brings what was typed', async (t) => {
  const site = await behind(t, (await limited(t)).url);
  const { page } = await open(t, browser);
  await page.goto(`${site.url}/start`);
  await page.locator('#word').fill('typed words');
  await page.locator('#send').click();
  await page.getByRole('button', { name: 'Send again' }).waitFor();
  await page.goBack();
  assert.equal(await page.locator('#word').inputValue(), 'typed words');
});

test('a form without work: it counts down, and then the visitor sends it', async (t) => {
  const options = ['--challenge-page', '--rate', '1', '--window', '3'];
  const server = await serve(t, { files: [], settings: 'synthetic = false\n', options });
  assert.equal((await fetch(`${server.url}/hello`)).status, 200);
  const site = await behind(t, server.url);
  const { page } = await open(t, browser);
  page.on('dialog', (dialog) => dialog.accept());
  await page.goto(`${site.url}/start`);
  await page.locator('#send').click();
  await page
    .getByText(/^This server has no work .* You can send your form again when the time is over\.$/)
    .waitFor();
  await page.locator('pouw-progress [part=time]', { hasText: /^About [1-4] seconds? left\.$/ }).waitFor();
  await page.getByRole('button', { name: 'Send again' }).click();
  await through(page);
  assert.deepEqual(site.posts, [
    ['word=', false],
    ['word=', true],
  ]);
});
