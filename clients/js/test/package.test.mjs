// What is shipped, and how it behaves where there is no browser.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stale } from '../scripts/wasm.mjs';

const here = new URL('../', import.meta.url);
const read = (path) => readFileSync(new URL(path, here), 'utf8');
const manifest = JSON.parse(read('package.json'));

test('the WebAssembly module is current', () => {
  assert.equal(stale(), undefined);
  assert.deepEqual(
    readFileSync(new URL('dist/pouw.wasm', here)),
    readFileSync(new URL('wasm/pouw.wasm', here)),
  );
});

test('the packed files are those of the package and nothing else', () => {
  const { stdout } = spawnSync('npm', ['pack', '--dry-run', '--json'], {
    cwd: fileURLToPath(here),
    encoding: 'utf8',
  });
  // Some versions of npm print a list, others an object by name.
  const [{ files }] = Object.values(JSON.parse(stdout));
  const paths = files.map(({ path }) => path);
  const others = paths.filter((path) => !/^dist\/[\w-]+\.(c?js|d\.c?ts|wasm)$/.test(path));
  assert.deepEqual(others.sort(), ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json']);
  for (const target of [
    ...Object.values(manifest.exports).flatMap(function leaves(entry) {
      return typeof entry === 'string' ? entry : Object.values(entry).flatMap(leaves);
    }),
    ...Object.values(manifest.imports['#platform']),
    ...manifest.sideEffects,
  ]) {
    assert.ok(paths.includes(target.slice(2)) || target === './package.json', target);
  }
});

test('the one dependency is the fallback, and the lock file names no host', () => {
  assert.deepEqual(Object.keys(manifest.dependencies), ['@noble/hashes']);
  assert.ok(!read('package-lock.json').includes('"resolved"'));
});

test('the files that stand alone import nothing, evaluate nothing and make no blobs', () => {
  for (const name of ['pouw.js', 'worker.js', 'pouw-element.js']) {
    const text = read(`dist/${name}`).replaceAll('import.meta', '');
    assert.ok(
      !/\bimport\b|\brequire\b|\beval\(|new Function|createObjectURL|https?:\/\/(?!www\.w3\.org)/.test(text),
      name,
    );
  }
  const text = read('dist/pouw.js');
  assert.ok(text.includes('"./worker.js",import.meta.url') && text.includes('"./pouw.wasm",import.meta.url'));
});

test('nothing of a browser is touched when the modules are loaded', () => {
  for (const name of ['index.js', 'element.js', 'pouw.js', 'pouw-element.js']) {
    const file = new URL(`dist/${name}`, here).href;
    const names = [
      'window',
      'document',
      'navigator',
      'HTMLElement',
      'customElements',
      'Worker',
      'location',
      'fetch',
    ];
    const script = `for (const name of ${JSON.stringify([...names, 'WebAssembly'])}) {
        Object.defineProperty(globalThis, name, { configurable: true, get() { throw new Error(name + ' was touched'); } });
      }
      delete globalThis.customElements;
      console.log(Object.keys(await import(${JSON.stringify(file)})).length);`;
    const args = ['--input-type=module', '-e', script];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  }
});

test('the bundle is under 34 kB packed', async () => {
  const { gzipSync } = await import('node:zlib');
  const names = ['pouw.js', 'worker.js', 'pouw.wasm', 'pouw-element.js'];
  const sizes = names.map(
    (name) => gzipSync(readFileSync(new URL(`dist/${name}`, here)), { level: 9 }).length,
  );
  const sum = sizes.reduce((a, b) => a + b);
  assert.ok(sum < 34_000, `${sum} bytes: ${sizes}`);
});

test('the rules of the house: short files, documented exports, ASCII', () => {
  const folders = ['src/', 'test/', 'scripts/', 'wasm/src/', 'wasm/examples/'];
  for (const folder of folders.filter((folder) => existsSync(new URL(folder, here)))) {
    for (const name of readdirSync(new URL(folder, here))) {
      const text = read(folder + name);
      const lines = text.split('\n').length;
      assert.ok(lines <= (folder === 'test/' ? 500 : 300), `${folder}${name}: ${lines} lines`);
      assert.ok(/^[\x00-\x7f]*$/.test(text), `${folder}${name} is not ASCII`);
      if (folder !== 'src/') continue;
      const exported = /^(.*)\n(export (?:async |abstract )?(?:function|class|interface|const|type) \w+)/gm;
      for (const [, before, what] of text.matchAll(exported)) {
        assert.match(before, /\*\/$|^\/\/ /, `${folder}${name}: ${what} has no documentation`);
      }
    }
  }
});
