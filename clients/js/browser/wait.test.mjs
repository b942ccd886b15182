// What visitors see of the wait, and where they are when it is over, in Chromium.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { behind } from './behind.mjs';
import { accessibilityProblems, eventually, launchChromium, open, serve } from './harness.mjs';

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

/** Notes down, in this tab and its later pages, each text that a live region of a page is given. */
async function listen(page) {
  await page.addInitScript(() => {
    const note = (text) => {
      const heard = JSON.parse(sessionStorage.getItem('heard') ?? '[]');
      if (text !== '') sessionStorage.setItem('heard', JSON.stringify([...heard, text]));
    };
    const watched = new Set();
    const watch = (region) => {
      if (!region || watched.has(region)) return;
      watched.add(region);
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const node of addedNodes) note(node.textContent);
      }).observe(region, { childList: true });
    };
    const look = () => {
      watch(document.getElementById('status'));
      watch(document.querySelector('pouw-progress')?.shadowRoot?.querySelector('[role=status]'));
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
    const { attachShadow } = Element.prototype;
    // The element fills its root after this.
    Element.prototype.attachShadow = function (options) {
      const root = attachShadow.call(this, options);
      new MutationObserver(look).observe(root, { childList: true });
      return root;
    };
  });
}
const heard = (page) => page.evaluate(() => JSON.parse(sessionStorage.getItem('heard') ?? '[]'));

/** The live regions that a screen reader knows of, and the description of the button, if there is one. */
async function accessible(page) {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  await session.detach();
  const known = nodes.filter(({ ignored }) => !ignored);
  const of = (role) => known.filter((node) => node.role?.value === role);
  const live = (node) => node.properties?.find(({ name }) => name === 'live')?.value.value;
  return { live: of('status').map(live), described: of('button').map((node) => node.description?.value) };
}

/** A site that has no work, whose limit is used up for a time. */
async function without(t, seconds) {
  const options = ['--challenge-page', '--rate', '1', '--window', String(seconds)];
  const server = await serve(t, { files: [], settings: 'synthetic = false\n', options });
  assert.equal((await fetch(`${server.url}/hello`)).status, 200);
  return server;
}

for (const form of [false, true]) {
  test(`a wait without work is read out${form ? ', for a form' : ''}: how long, some steps, and the end`, async (t) => {
    const site = await behind(t, (await without(t, 90)).url);
    const { page, seen } = await open(t, browser);
    await page.clock.install();
    await listen(page);
    await page.goto(`${site.url}/start`);
    if (form) await page.locator('#send').click();
    else await page.evaluate(() => location.assign('/hello'));
    const left = page.locator('pouw-progress [part=time]', { hasText: /^About \d+ seconds left\.$/ });
    await left.waitFor();
    const seconds = Number(/\d+/.exec(await left.textContent())[0]);
    assert.ok(seconds > 60 && seconds <= 92, String(seconds));
    assert.deepEqual(await accessible(page), { live: ['polite', 'polite'], described: [] });
    const held = form
      ? 'You can send your form again when the time is over.'
      : 'This page tries again automatically.';
    const [first] = await eventually(
      'the beginning',
      async () => (await heard(page)).length > 0 && heard(page),
    );
    const said = Number(/ About (\d+) seconds left\.$/.exec(first)?.[1]);
    assert.ok(first.startsWith(held) && said <= seconds && said > seconds - 3, first);
    assert.ok(
      await page.getByText('This server has no work to hand out right now.', { exact: true }).isVisible(),
    );
    if (!form)
      await page.route('**/hello', (route) =>
        route.fulfill({ body: '<title>through</title>', contentType: 'text/html' }),
      );
    await page.clock.runFor((seconds + 2) * 1_000);
    if (form) await page.getByRole('button', { name: 'Send again' }).waitFor();
    else await through(page);
    const all = await heard(page);
    const steps = all.slice(1, -1).map((text) => Number(/^About (\d+) seconds left\.$/.exec(text)?.[1]));
    assert.ok(steps.length >= 6 && steps.length <= 8, JSON.stringify(all));
    for (const [at, step] of steps.entries()) {
      const before = steps[at - 1] ?? seconds;
      const least = before > 60 ? 29 : before > 15 ? 14 : 4;
      assert.ok(before - step >= least && step > 3, JSON.stringify(all));
    }
    if (form) {
      assert.match(all.at(-1), /^Your form has not been sent yet, /);
      assert.deepEqual(await accessible(page), { live: ['polite'], described: [all.at(-1)] });
    } else assert.equal(all.at(-1), 'Done. Your page is loading.');
    assert.deepEqual(seen.uncaught, []);
  });
}

test('the element of a client: a wait without work ends by itself, as nothing reports what became of it', async (t) => {
  const { url } = await serve(t);
  const { page } = await open(t, browser);
  await page.clock.install();
  await page.goto(url);
  await page.locator('#burst').waitFor();
  await page.clock.pauseAt(Date.now() + 60_000);
  await page.evaluate(() => {
    const element = document.createElement('pouw-progress');
    element.id = 'other';
    globalThis.client = new EventTarget();
    Object.assign(element, { client: globalThis.client });
    document.body.append(element);
  });
  const wait = (milliseconds) =>
    page.evaluate((detail) => globalThis.client.dispatchEvent(new CustomEvent('waiting', { detail })), {
      milliseconds,
    });
  const shown = () =>
    page
      .locator('#other')
      .evaluate(({ shadowRoot }) =>
        ['[part=text]', '[part=time]', '[role=status]'].map(
          (part) => shadowRoot.querySelector(part).textContent,
        ),
      );
  const after = async (milliseconds) => {
    await page.clock.runFor(milliseconds);
    return shown();
  };
  const held = 'This service is busy. Your request is sent again automatically.';
  const over = 'The wait is over. Your request is being sent.';
  await wait(20_000);
  assert.deepEqual(await shown(), [held, 'About 20 seconds left.', ''], 'the line was not there before');
  assert.deepEqual(await after(600), [held, 'About 20 seconds left.', `${held} About 20 seconds left.`]);
  // Another request that waits for the same end.
  await wait(19_000);
  assert.deepEqual(await after(15_000), [held, 'About 5 seconds left.', 'About 5 seconds left.']);
  assert.deepEqual(await after(3_000), [held, 'About 2 seconds left.', 'About 5 seconds left.']);
  assert.deepEqual(await after(1_600), [over, '', over]);
  assert.deepEqual(await after(29_000), [over, '', over]);
  assert.deepEqual(await after(1_200), ['', '', '']);
  // A wait that is told to be over ends at once, and a longer one does not.
  await wait(10_000);
  await wait(0);
  assert.equal((await shown())[0], held);
  await after(9_500);
  await wait(0);
  assert.deepEqual(await shown(), [over, '', over]);
});

test('a wait with work is read out at its beginning and at its end', async (t) => {
  const { url } = await limited(t, { floor: 5_000 });
  const { page } = await open(t, browser);
  await listen(page);
  await page.goto(`${url}/hello`);
  await page.waitForFunction(() => document.body.textContent.trim() === 'hello');
  const all = await heard(page);
  assert.match(all[0], /About [1-5] seconds? left\.$/);
  assert.equal(all.at(-1), 'Done. Your page is loading.');
  assert.ok(all.length <= 3, JSON.stringify(all));
});

/** Notes down where what is below the room of a page stands, and how much has moved. */
async function recordPlaces(page) {
  await page.addInitScript(() => {
    const log = (globalThis.log = { shifts: 0, places: [] });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) log.shifts += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    const look = () => {
      const place = document.querySelector('.note')?.getBoundingClientRect().top;
      if (place !== undefined && !log.places.includes(place)) log.places.push(place);
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}

/** Breaks the unit in a page, so that its script fails. */
async function breakUnit(route) {
  const response = await route.fetch();
  const body = (await response.text()).replace('"nodeCount":', '"nodeCount":9');
  await route.fulfill({ response, body });
}

for (const fails of [false, true]) {
  test(`nothing moves on a phone while a form waits and then ${fails ? 'it fails' : 'can be sent'}`, async (t) => {
    const settings = 'open_challenges = [49, 1]\nsite_contact = "mailto:a@b.example"\n';
    const site = await behind(t, (await limited(t, { floor: 700, settings })).url);
    for (const locale of ['ar', 'de', 'en', 'es', 'fr', 'ja', 'pt-BR', 'zh-CN']) {
      for (const width of [320, 360]) {
        const { page, seen } = await open(t, browser, { locale, viewport: { width, height: 900 } });
        await recordPlaces(page);
        await page.goto(`${site.url}/start`);
        if (fails) await page.route('**/hello', breakUnit);
        await page.locator('#send').click();
        await page.locator('#again:visible').waitFor();
        const { shifts, places } = await page.evaluate(
          () =>
            new Promise((resolve) => requestAnimationFrame(() => setTimeout(() => resolve(globalThis.log)))),
        );
        if (width === 320) assert.deepEqual(await accessibilityProblems(page), [], locale);
        assert.deepEqual([places.length, shifts], [1, 0], `${locale}, ${width} pixels: ${places}`);
        assert.deepEqual(seen.uncaught, []);
        await page.context().close();
      }
    }
  });
}

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
    .getByText('You can send your form again when the time is over.', { exact: true })
    .and(page.locator('[part=text]'))
    .waitFor();
  await page.locator('pouw-progress [part=time]', { hasText: /^About [1-4] seconds? left\.$/ }).waitFor();
  await page.getByRole('button', { name: 'Send again' }).click();
  await through(page);
  assert.deepEqual(site.posts, [
    ['word=', false],
    ['word=', true],
  ]);
});
