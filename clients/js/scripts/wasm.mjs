// Builds wasm/pouw.wasm with cargo and records what it was built from. With --check nothing is built: it fails when
// the module is not the one that was recorded, or its sources have changed since.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));
const root = join(here, '../..');
const module = join(here, 'wasm/pouw.wasm');
const record = join(here, 'wasm/pouw.wasm.json');
const target = 'wasm32-unknown-unknown';

// What the bytes depend on: the crate, its pinned dependencies, and the folders whose code it reaches.
const SOURCES = ['wasm/Cargo.toml', 'wasm/Cargo.lock', 'wasm/src', '../../src/hash', '../../src/merkle']
  .concat('../../src/protocol/limits.rs')
  .map((path) => join(here, path));

function files(path) {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => files(join(path, name)));
}

function sha256(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** One digest over the names and bytes of all sources. */
function sourcesDigest() {
  return sha256(
    ...SOURCES.flatMap(files).map((path) => `${relative(root, path)} ${sha256(readFileSync(path))}\n`),
  );
}

function run(command, args, options) {
  const { status, stdout, error } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (error || status !== 0)
    throw new Error(`${command} ${args.join(' ')} failed: ${error ?? `status ${status}`}`);
  return stdout;
}

/** Whether the module can be built here. */
export function canBuild() {
  const cargo = spawnSync('cargo', ['--version']);
  if (cargo.error || cargo.status !== 0) return false;
  const rustc = spawnSync('rustc', ['--print', 'target-libdir', '--target', target], { encoding: 'utf8' });
  return rustc.status === 0 && existsSync(rustc.stdout.trim());
}

/** Builds the module and records its sources. */
export function build() {
  // Panic messages name source files: without the folders of the machine it is built on.
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const flags = [
    ['--remap-path-prefix', `${root}=pouw`],
    ['--remap-path-prefix', `${cargoHome}=cargo`],
  ].flat();
  const env = { ...process.env, CARGO_INCREMENTAL: '0', CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f') };
  const cwd = join(here, 'wasm');
  run('cargo', ['build', '--release', '--locked', '--target', target], { cwd, env, stdio: 'inherit' });
  writeFileSync(module, readFileSync(join(cwd, 'target', target, 'release/pouw_wasm.wasm')));
  const rustc = run('rustc', ['--version']).trim();
  const told = { sources: sourcesDigest(), module: sha256(readFileSync(module)), rustc };
  writeFileSync(record, `${JSON.stringify(told, null, 2)}\n`);
}

/** Why the module is not current; undefined when it is. */
export function stale() {
  if (!existsSync(module) || !existsSync(record)) return 'it has not been built';
  const told = JSON.parse(readFileSync(record, 'utf8'));
  if (told.module !== sha256(readFileSync(module))) return 'it is not the module that was recorded';
  if (told.sources !== sourcesDigest()) return 'its sources have changed';
  return undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--check')) {
    const why = stale();
    if (why) {
      console.error(`wasm/pouw.wasm is not current: ${why}. Run: npm run wasm`);
      process.exit(1);
    }
    console.log('wasm/pouw.wasm is current');
  } else {
    build();
    console.log(`wasm/pouw.wasm: ${statSync(module).size} bytes`);
  }
}
