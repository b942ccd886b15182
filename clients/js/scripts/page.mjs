// Builds the two pages of the reference server into the crate, which embeds them, and the texts of the
// challenge page. With --check nothing is written: it
// fails when a file there is not the one that these sources make.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { demoTexts, served } from './languages.mjs';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const out = '../../src/page';
const bundle = async (entryPoint, minify = true) => {
  const { outputFiles } = await build({
    entryPoints: [entryPoint],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify,
    charset: 'utf8',
    plugins: [demoTexts],
    legalComments: 'none',
    write: false,
  });
  return Buffer.from(outputFiles[0].contents);
};

const assets = {
  'page.js': await bundle('page/page.ts'),
  'challenge.js': await bundle('page/challenge.ts'),
  'page.css': await bundle('page/page.css'),
  'worker.js': await bundle('dist/worker.js'),
  'pouw.wasm': readFileSync('wasm/pouw.wasm'),
  'index.html': readFileSync('page/index.html'),
  'icon.svg': readFileSync('page/icon.svg'),
};
const below = (folder, named) =>
  Object.entries(named).map(([name, content]) => [`${folder}/${name}`, content]);
const files = Object.fromEntries([...below('assets', assets), ...below('languages', served())]);

const check = process.argv.includes('--check');
const old = Object.keys(files).filter((name) => {
  const path = `${out}/${name}`;
  return !existsSync(path) || !readFileSync(path).equals(files[name]);
});
if (check && old.length > 0) {
  console.error(`${old.join(', ')} in src/page: not what these sources make; run npm run page`);
  process.exit(1);
}
if (!check) {
  for (const name of old) writeFileSync(`${out}/${name}`, files[name]);
  console.log(old.length === 0 ? 'src/page is current' : `wrote ${old.join(', ')}`);
}
