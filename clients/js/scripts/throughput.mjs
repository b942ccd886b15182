// Throughput of WebAssembly beside JavaScript in the same run. Runs in Node and, bundled, in browsers.
import { jsEngine } from '../dist/engine-js.js';
import { wasmEngine } from '../dist/engine-wasm.js';
import { hashTask } from '../dist/solve.js';

const ROUNDS = 7;

export function task(leafBytes, count) {
  const data = Uint8Array.from({ length: leafBytes * count }, (_, i) => (i * 31) ^ (i >> 8));
  const foldLevels = Math.log2(count);
  return { data, lengths: Array(count).fill(leafBytes), foldLevels, nodeCount: 2 * count - 1 };
}

/** MB/s over about a tenth of a second. */
async function throughput(engine, work) {
  let bytes = 0;
  const started = performance.now();
  do {
    await hashTask(engine, work);
    bytes += work.data.length;
  } while (performance.now() - started < 100);
  return bytes / 1e3 / (performance.now() - started);
}

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** A table with a row for each size of leaves: medians of seven rounds, and the median of their ratios. */
export async function measured(module) {
  const engines = [await wasmEngine(module), jsEngine];
  const rows = ['| leaves | WebAssembly, MB/s | JavaScript, MB/s | ratio |', '|---|---|---|---|'];
  for (const [name, work] of [
    ['1 of 4 KiB', task(4 << 10, 1)],
    ['32 of 4 KiB', task(4 << 10, 32)],
    ['16 of 64 KiB', task(64 << 10, 16)],
  ]) {
    const rates = engines.map(() => []);
    for (const engine of engines) await throughput(engine, work);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, engine] of engines.entries()) rates[i].push(await throughput(engine, work));
    }
    const [wasm, js] = rates.map(median);
    const ratio = median(rates[0].map((rate, i) => rate / rates[1][i]));
    rows.push(`| ${name} | ${wasm.toFixed(1)} | ${js.toFixed(1)} | ${ratio.toFixed(1)} |`);
  }
  return rows.join('\n');
}
