// CPU time of one admission by tier, WebAssembly and JavaScript in Node: leaves of 4 KiB, the module loaded already.
import { readFileSync } from 'node:fs';
import { jsEngine } from '../dist/engine-js.js';
import { wasmEngine } from '../dist/engine-wasm.js';
import { hashTask } from '../dist/solve.js';
import { median, task } from './throughput.mjs';

const ROUNDS = 7;
const wasm = readFileSync(new URL('../dist/pouw.wasm', import.meta.url));
const engines = [await wasmEngine(await WebAssembly.compile(wasm)), jsEngine];

/** Milliseconds of CPU for each unit, over about a fifth of a second. */
async function cost(engine, work) {
  let units = 0;
  const started = process.cpuUsage();
  let spent;
  do {
    await hashTask(engine, work);
    units += 1;
    const { user, system } = process.cpuUsage(started);
    spent = (user + system) / 1e3;
  } while (spent < 200);
  return spent / units;
}

console.log(`Node ${process.version}, medians of ${ROUNDS} rounds\n`);
console.log(
  '| tier | leaves | hashes | KiB | WebAssembly, CPU ms | JavaScript, CPU ms |\n|---|---|---|---|---|---|',
);
for (const [tier, leaves] of [
  ['low', 1],
  ['medium', 8],
  ['high', 32],
]) {
  const work = task(4 << 10, leaves);
  const times = engines.map(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [i, engine] of engines.entries()) {
      const spent = await cost(engine, work);
      if (round > 0) times[i].push(spent);
    }
  }
  const [fast, slow] = times.map((list) => median(list).toFixed(3));
  console.log(`| ${tier} | ${leaves} | ${work.nodeCount} | ${leaves * 4} | ${fast} | ${slow} |`);
}
