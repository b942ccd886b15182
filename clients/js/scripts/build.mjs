// Builds dist: the modules with tsc, and from them with esbuild the files that stand alone and those for `require`.
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { build as buildWasm, canBuild, stale } from './wasm.mjs';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const why = stale();
if (why && canBuild()) buildWasm();
else if (why) console.warn(`wasm/pouw.wasm is used as it is, ${why}, but cargo or its target is not here`);

rmSync('dist', { recursive: true, force: true });
const tsc = spawnSync('npx', ['tsc'], { stdio: 'inherit' });
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
copyFileSync('wasm/pouw.wasm', 'dist/pouw.wasm');

const alone = {
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  minify: true,
  allowOverwrite: true,
  legalComments: 'none',
};
// The worker is the same file in every use: with a bundler, without one, next to pouw.js.
await build({ ...alone, entryPoints: ['dist/worker.js'], outfile: 'dist/worker.js' });
await build({ ...alone, entryPoints: ['dist/index.js'], outfile: 'dist/pouw.js' });
await build({ ...alone, entryPoints: ['dist/element.js'], outfile: 'dist/pouw-element.js' });

// For `require`, which test runners like Jest use: they do not load modules of the standard. The worker is the module of
// Node beside it. Types are those of the modules.
const here = 'pouw_here';
const common = {
  ...alone,
  format: 'cjs',
  platform: 'node',
  target: 'node20',
  minify: false,
  define: { 'import.meta.url': here },
  banner: { js: `const ${here} = require('node:url').pathToFileURL(__filename).href;` },
};
for (const name of ['index', 'element']) {
  await build({ ...common, entryPoints: [`dist/${name}.js`], outfile: `dist/${name}.cjs` });
  writeFileSync(`dist/${name}.d.cts`, `export * from './${name}.js';\n`);
}

// Inside the package `#platform` leads to a file of its own in Node and in browsers.
for (const name of ['worker.js', 'pouw.js', 'pouw-element.js']) {
  const text = readFileSync(`dist/${name}`, 'utf8');
  if (/\bimport\s*["'{(*]|node:/.test(text.replaceAll('import.meta', '')))
    throw new Error(`${name} imports something`);
  writeFileSync(`dist/${name}`, text);
}
