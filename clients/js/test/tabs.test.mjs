// The channel between the tabs of a site; Node has the same one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL('../page/tabs.ts', import.meta.url))],
  format: 'esm',
  write: false,
});
const { announce, onAnnounced } = await import(
  `data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`
);

/** A message that arrives after all those sent before it. */
async function settled() {
  const [from, to] = [new BroadcastChannel('other'), new BroadcastChannel('other')];
  const arrived = new Promise((resolve) => (to.onmessage = resolve));
  from.postMessage('');
  await arrived;
  for (const channel of [from, to]) channel.close();
}

test('all tabs that wait hear of a pass once; the one that announces it does not', async (t) => {
  const heard = [];
  for (const name of ['a', 'b']) t.after(onAnnounced(() => heard.push(name)));
  onAnnounced(() => heard.push('ended'))();
  announce();
  await settled();
  assert.deepEqual(heard.sort(), ['a', 'b']);
  announce();
  await settled();
  assert.equal(heard.length, 2);
});

test('other messages, and a place without channels, are nothing', async (t) => {
  t.after(onAnnounced(() => assert.fail('it was another message')));
  const channel = new BroadcastChannel('pouw');
  channel.postMessage('other');
  channel.close();
  await settled();
  const { BroadcastChannel: usual } = globalThis;
  t.after(() => (globalThis.BroadcastChannel = usual));
  for (const kind of [
    undefined,
    class {
      constructor() {
        throw new Error('refused');
      }
    },
  ]) {
    globalThis.BroadcastChannel = kind;
    announce();
    onAnnounced(() => {})();
  }
});
