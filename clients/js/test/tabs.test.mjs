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

const { BroadcastChannel: Channel } = globalThis;

/** A message that arrives after all those sent before it. */
async function settled() {
  const [from, to] = [new Channel('other'), new Channel('other')];
  const arrived = new Promise((resolve) => (to.onmessage = resolve));
  from.postMessage('');
  await arrived;
  for (const channel of [from, to]) channel.close();
}

test('all tabs that wait hear of a pass once, and one that has ended does not', async (t) => {
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

test('what was announced before a tab listens is not heard, and what comes after it is', async (t) => {
  announce();
  await settled();
  let heard = 0;
  t.after(onAnnounced(() => (heard += 1)));
  await settled();
  assert.equal(heard, 0);
  announce();
  await settled();
  assert.equal(heard, 1);
});

test('several announcements at once, of twelve tabs, call each of the others once', async (t) => {
  const heard = new Map();
  const tabs = Array.from({ length: 12 }, (_, tab) => tab);
  for (const tab of tabs) t.after(onAnnounced(() => heard.set(tab, (heard.get(tab) ?? 0) + 1)));
  for (let from = 0; from < 4; from++) announce();
  await settled();
  assert.deepEqual(
    [...heard].sort(([a], [b]) => a - b),
    tabs.map((tab) => [tab, 1]),
  );
});

test('a tab that is called back can listen again, and hears the next one', async (t) => {
  const heard = [];
  const again = () =>
    onAnnounced(() => {
      heard.push('again');
    });
  let end = onAnnounced(() => {
    heard.push('first');
    end = again();
  });
  t.after(() => end());
  announce();
  await settled();
  announce();
  await settled();
  assert.deepEqual(heard, ['first', 'again']);
});

test('nothing stays open: of a tab that announces, that was called back, or that ended', async (t) => {
  const { BroadcastChannel: usual } = globalThis;
  t.after(() => (globalThis.BroadcastChannel = usual));
  const open = new Set();
  globalThis.BroadcastChannel = class extends usual {
    constructor(name) {
      super(name);
      open.add(this);
    }
    close() {
      open.delete(this);
      super.close();
    }
  };
  onAnnounced(() => {});
  const end = onAnnounced(() => {});
  assert.equal(open.size, 2);
  end();
  assert.equal(open.size, 1);
  announce();
  await settled();
  assert.deepEqual([...open], []);
});

test('other messages do not end listening', async (t) => {
  let heard = 0;
  t.after(onAnnounced(() => (heard += 1)));
  const channel = new BroadcastChannel('pouw');
  for (const message of ['other', undefined, { pass: 'pass' }, ['pass', 'pass']])
    channel.postMessage(message);
  await settled();
  assert.equal(heard, 0);
  channel.postMessage('pass');
  channel.close();
  await settled();
  assert.equal(heard, 1);
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
