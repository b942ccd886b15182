// Solves the same random units with the Rust solver, with WebAssembly and with JavaScript, and compares all of it: what
// is hashed, the JSON, the compact form. Arguments: COUNT SEED [FILE], where FILE has the lines of the Rust solver if
// they are not to be made here with cargo.
import { isDeepStrictEqual } from 'node:util';
import { rustLines } from './rust-lines.mjs';
import { computeWorkUnit, toCompact } from '../dist/index.js';

const [count = '1000', seed = '1', file] = process.argv.slice(2);

const tally = {};
let differences = 0;
let units = 0;
for (const line of rustLines(count, seed, file)) {
  const { unit, result: rust, compact } = JSON.parse(line);
  units += 1;
  tally[unit.operation] = (tally[unit.operation] ?? 0) + 1;
  for (const engine of ['wasm', 'js']) {
    const computed = await computeWorkUnit(unit, { engine });
    // The telemetry tells when and how fast, which is not the same twice.
    const result = { ...computed, computeTimeMs: rust.computeTimeMs, completedAt: rust.completedAt };
    if (isDeepStrictEqual(result, rust) && toCompact(result) === compact) continue;
    differences += 1;
    console.error(`${engine} differs on ${unit.operation} ${unit.id}`);
  }
}
console.log(
  `${units} units (${JSON.stringify(tally)}), Rust, WebAssembly and JavaScript: ${differences} differences`,
);
process.exitCode = differences > 0 || units !== Number(count) ? 1 : 0;
