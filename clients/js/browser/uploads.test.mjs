// Uploads over the limit in Chromium: the refusal is read, and the paid repetition arrives whole.
// `POUW_TRIES=20` sends each size twenty times, and 60 MB too, which a slow machine may not get through in time.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium, open, serve, withPackage } from './harness.mjs';

let browser;
before(async () => (browser = await launchChromium()));
after(() => browser.close());

const SIZES = [3, 100_000, 5_000_000, 60_000_000];
const { POUW_TRIES } = process.env;
const TRIES = Number(POUW_TRIES ?? 2);
const REFUSED = SIZES.slice(0, POUW_TRIES === undefined ? -1 : undefined);

/** A page of the limiter's own origin, whose limit is used up. */
async function visit(t) {
  const limiter = await serve(t, { options: ['--rate', '8', '--window', '3600', '--floor', '0,0,0'] });
  for (let i = 0; i < 8; i++) await fetch(`${limiter.url}/hello`);
  const { page } = await open(t, browser);
  await withPackage(page);
  await page.goto(`${limiter.url}/hello`);
  return page;
}

test('the refusal of every upload is read', async (t) => {
  const page = await visit(t);
  const found = await page.evaluate(
    async ([sizes, tries]) => {
      const statuses = [];
      for (const size of sizes)
        for (let i = 0; i < tries; i++) {
          const body = new Blob([new Uint8Array(size).fill(120)]);
          const sent = fetch('/echo', { method: 'POST', body });
          const read = async (response) => `${response.status} ${(await response.json()).status}`;
          statuses.push(`${size}: ${await sent.then(read, String)}`);
        }
      return statuses;
    },
    [REFUSED, TRIES],
  );
  assert.deepEqual(
    found,
    REFUSED.flatMap((size) => Array.from({ length: TRIES }, () => `${size}: 429 429`)),
  );
});

test('an upload arrives whole once its work is done', async (t) => {
  const page = await visit(t);
  const found = await page.evaluate(async (sizes) => {
    const { createPouwClient } = await import('/dist/pouw.js');
    const client = createPouwClient();
    const lengths = [];
    for (const size of sizes) {
      const body = new Blob([new Uint8Array(size).fill(120)]);
      const response = await client.fetch('/length', { method: 'POST', body });
      const paid = response.headers.has('x-pouw-accepted');
      lengths.push([response.status, Number(await response.text()), paid]);
    }
    return lengths;
  }, SIZES);
  assert.deepEqual(
    found,
    SIZES.map((size) => [200, size, true]),
  );
});
