// Event streams and web sockets behind the real limiter, in Chromium and in Firefox.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, launchChromium, open, serve } from './harness.mjs';
import { Firefox, firefox } from './marionette.mjs';
import { streaming } from './streaming.mjs';

/** Opens an address; returns what reads the title of the page. */
const browsers = {
  Chromium: async (t, url) => {
    const browser = await launchChromium();
    t.after(() => browser.close());
    const { page } = await open(t, browser);
    await page.goto(url);
    return () => page.title();
  },
  Firefox: async (t, url) => {
    const browser = await Firefox.launch();
    t.after(() => browser.close());
    await browser.goto(url);
    return () => browser.evaluate(() => document.title);
  },
};

/** Runs in the page: a socket and an event stream, which is lost once. */
async function openBoth({ createPouwClient }) {
  const client = createPouwClient({ deadlineMs: 15_000 });
  const told = { events: [], heard: [] };
  for (const name of ['challenge', 'accepted', 'failed'])
    client.addEventListener(name, () => told.events.push(name));
  if (location.hash === '#pass') told.status = (await client.fetch('/page')).status;
  const socket = await client.webSocket(`ws://${location.host}/socket`, 'chat');
  const word = () => new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
  told.heard.push(await word());
  socket.send('echo');
  told.heard.push(await word());
  const source = client.eventSource('/events');
  const named = () =>
    new Promise((resolve, reject) => {
      source.addEventListener('named', ({ data }) => resolve(data), { once: true });
      source.onerror = ({ error }) => error && reject(error);
    });
  told.heard.push(await named());
  socket.send('lose');
  told.heard.push(await named());
  source.close();
  told.cookies = document.cookie.split('; ').map((pair) => pair.split('=')[0]);
  return told;
}

/** A site whose limit is used up; a word on the socket ends the event streams. */
async function limited(t, requests) {
  const buys = `answer_buys = { requests = ${requests}, seconds = 60 }\n`;
  const settings = `paid_admissions_per_window = 50\n${buys}`;
  const server = await serve(t, { settings, options: ['--rate', '1', '--floor', '100,100,100'] });
  assert.equal((await fetch(`${server.url}/hello`)).status, 200);
  const site = await streaming(t, server.url, openBoth);
  const { connect } = site;
  site.connect = (asked, socket, headers) => {
    connect.call(site, asked, socket, headers);
    // Two words of four letters each: the second one is the one that counts.
    let words = 0;
    socket.on('data', () => ++words === 2 && site.sources.forEach((response) => response.destroy()));
  };
  return { server, site };
}

for (const [name, visit] of Object.entries(browsers)) {
  const skip = name === 'Firefox' && firefox() === undefined && 'there is no firefox';

  test(`${name}: streams over the limit open, each for an answer in a cookie`, { skip }, async (t) => {
    const { server, site } = await limited(t, 1);
    const title = await visit(t, site.url);
    const told = JSON.parse(await eventually('the streams', title, 30_000));
    assert.deepEqual(told, {
      events: Array(3).fill(['challenge', 'accepted']).flat(),
      heard: ['first', 'echo', 'second', 'second'],
      cookies: [''],
    });
    assert.deepEqual(site.openings, [
      'socket 429',
      'socket 200 answer',
      'events 429',
      'events 200 answer',
      // The browser connects again by itself first.
      'events 429',
      'events 429',
      'events 200 answer',
    ]);
    assert.equal((await server.ledger()).length, 3);
  });

  test(`${name}: a pass that a request bought opens streams`, { skip }, async (t) => {
    const { server, site } = await limited(t, 9);
    const title = await visit(t, `${site.url}#pass`);
    const told = JSON.parse(await eventually('the streams', title, 30_000));
    assert.deepEqual(told, {
      events: ['challenge', 'accepted'],
      heard: ['first', 'echo', 'second', 'second'],
      status: 200,
      cookies: ['pouw-pass'],
    });
    assert.deepEqual(site.openings, ['socket 200 pass', 'events 200 pass', 'events 200 pass']);
    assert.equal((await server.ledger()).length, 1);
  });
}
