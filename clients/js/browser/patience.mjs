// What takes long, and so is no part of the other tests: a tab in the background for half a minute. Run by
// `npm run patience`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from './harness.mjs';
import { firefox } from './marionette.mjs';
import { pictures } from './pictures.mjs';
import { behindAnotherTab } from './tabs.mjs';

const BACKGROUND_MS = 30_000;

for (const [name, start] of Object.entries(behindAnotherTab)) {
  const skip = name === 'Firefox' && firefox() === undefined && 'there is no firefox';

  test(`${name}: a tab in the background arrives after a wait of 30 s`, { skip }, async (t) => {
    const limited = await pictures(t, { floor: BACKGROUND_MS });
    const started = performance.now();
    const evaluate = await start(t, limited.url);
    const seen = new Set();
    const arrived = async () => {
      seen.add(await evaluate('document.visibilityState'));
      return (await evaluate('document.title')) === 'through';
    };
    await eventually(
      'the tab is in the background',
      async () => (await evaluate('document.hidden')) === true,
    );
    await eventually('the page', arrived, 90_000);
    const ms = performance.now() - started;
    seen.delete(undefined);
    assert.deepEqual([...seen], ['hidden']);
    assert.ok(ms >= BACKGROUND_MS, `after ${ms} ms`);
    t.diagnostic(`after ${(ms / 1_000).toFixed(1)} s`);
    assert.deepEqual([limited.pages, (await limited.ledger()).length], [1, 1]);
  });
}
