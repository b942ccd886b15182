import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Random units and their results by the Rust solver, a JSON object a line: from a file, or made here with cargo. */
export function rustLines(count, seed, file) {
  const text = file ? readFileSync(file, 'utf8') : make(count, seed);
  return text.trim().split('\n');
}

function make(count, seed) {
  const cwd = fileURLToPath(new URL('../wasm', import.meta.url));
  const args = ['run', '--quiet', '--release', '--locked', '--example', 'units', '--', count, seed];
  const options = {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
    env: { ...process.env, CARGO_INCREMENTAL: '0' },
  };
  const { status, stdout, stderr, error } = spawnSync('cargo', args, options);
  if (error || status !== 0) throw new Error(`cargo run --example units: ${error ?? stderr}`);
  return stdout;
}
