// Copies the files that stand alone to a folder, for a server that embeds them: npm run embed -- FOLDER. With --check
// nothing is copied: it fails when one of them is another than the one built here.
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const FILES = ['pouw.js', 'worker.js', 'pouw.wasm', 'pouw-element.js'];
const [folder, check] = process.argv.slice(2);
if (!folder || folder.startsWith('-') || (check !== undefined && check !== '--check')) {
  console.error('expected FOLDER [--check]');
  process.exit(2);
}
const to = resolve(process.env.INIT_CWD ?? '.', folder);
if (!check) mkdirSync(to, { recursive: true });
for (const name of FILES) {
  const built = new URL(`../dist/${name}`, import.meta.url);
  const copy = join(to, name);
  if (!check) {
    copyFileSync(built, copy);
  } else if (!existsSync(copy) || !readFileSync(copy).equals(readFileSync(built))) {
    console.error(`${folder}/${name} is not the one that is built here. Run: npm run embed -- ${folder}`);
    process.exitCode = 1;
  }
}
