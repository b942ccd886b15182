// The code of the documents: each block is a module that parses.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const DOCUMENTS = ['../README.md', '../../../src/docs/browser_client.md'];

/** The code of the blocks marked `js`, and of the module scripts in blocks marked `html`. */
function blocks(text) {
  const marked = (mark) =>
    [...text.matchAll(new RegExp(`^\`\`\`${mark}\n(.*?)^\`\`\``, 'gms'))].map((m) => m[1]);
  const scripts = marked('html').flatMap((html) =>
    [...html.matchAll(/<script type="module">(.*?)<\/script>/gs)].map((m) => m[1]),
  );
  return [...marked('js'), ...scripts];
}

/** What `node --check` says of a module; empty if it parses. */
function complaint(code) {
  const folder = mkdtempSync(join(tmpdir(), 'pouw-documents-'));
  try {
    const file = join(folder, 'block.mjs');
    writeFileSync(file, code);
    const { status, stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' });
    return status === 0 ? '' : stderr || `status ${status}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const path of DOCUMENTS) {
  test(`the code in ${path} parses`, () => {
    const found = blocks(readFileSync(new URL(path, import.meta.url), 'utf8'));
    assert.ok(found.length >= 3, `${found.length} blocks`);
    for (const code of found) assert.equal(complaint(code), '', code);
  });
}

test('code that does not parse is found', () => {
  const planted =
    'Text\n\n```js\nconst a = ;\n```\n\n```html\n<script type="module">\nawait = 1;\n</script>\n```\n';
  const found = blocks(planted);
  assert.equal(found.length, 2);
  for (const code of found) assert.match(complaint(code), /SyntaxError/);
});
