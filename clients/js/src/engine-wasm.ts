import type { Engine, Hashes, Run } from './hashing.js';
import { HASH_BYTES } from './limits.js';
import type { Task } from './validate.js';

/** What the module exports. */
interface Exports {
  memory: WebAssembly.Memory;
  input(bytes: number): number;
  lengths(count: number): number;
  hashes(): number;
  leaves(first: number, count: number): number;
  fold(levels: number): number;
}

/** Bytes hashed between two looks at the clock: a leaf may be longer, and is hashed in one go. */
const PIECE_BYTES = 128 << 10;

class WasmRun implements Run {
  done = 0;
  #exports: Exports;
  #task: Task;
  #hashes: number;
  #giveBack: (exports: Exports) => void;

  constructor(exports: Exports, task: Task, giveBack: (exports: Exports) => void) {
    this.#exports = exports;
    this.#giveBack = giveBack;
    this.#task = task;
    const input = exports.input(task.data.length);
    const lengths = exports.lengths(task.lengths.length);
    this.#hashes = exports.hashes();
    // Only now: any of these calls may have grown the memory, which detaches the buffer before.
    const { buffer } = exports.memory;
    new Uint8Array(buffer, input, task.data.length).set(task.data);
    new Uint32Array(buffer, lengths, task.lengths.length).set(task.lengths);
  }

  step(): void {
    const { lengths, foldLevels, nodeCount } = this.#task;
    let count = 0;
    for (let bytes = 0; bytes < PIECE_BYTES && this.done + count < lengths.length; count++) {
      bytes += lengths[this.done + count]!;
    }
    if (this.#exports.leaves(this.done, count) !== count) throw new Error('the module refused the leaves');
    this.done += count;
    if (this.done < lengths.length) return;
    if (this.#exports.fold(foldLevels) !== 1) throw new Error('the module refused to fold');
    this.done = nodeCount;
  }

  finish(): Hashes {
    const count = this.#task.lengths.length;
    const hashes = new Uint8Array(
      this.#exports.memory.buffer,
      this.#hashes,
      (count + 1) * HASH_BYTES,
    ).slice();
    this.#giveBack(this.#exports);
    return { top: hashes.subarray(count * HASH_BYTES), leaves: hashes.subarray(0, count * HASH_BYTES) };
  }
}

/**
 * Hashes in WebAssembly.
 *
 * @throws when the module is another one than this package's.
 */
export async function wasmEngine(module: WebAssembly.Module): Promise<Engine> {
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  const missing = ['memory', 'input', 'lengths', 'hashes', 'leaves', 'fold'].filter(
    (name) => !names.includes(name),
  );
  if (missing.length > 0)
    throw new Error(
      `pouw.wasm lacks the export ${missing.join(', ')}; serve the file of the same package version`,
    );
  const instantiate = async () => (await WebAssembly.instantiate(module)).exports as unknown as Exports;
  // An instance works on one run at a time; one that is done is kept for the next. The first shows here whether
  // they may be made at all.
  let spare: Exports | undefined = await instantiate();
  return {
    name: 'wasm',
    async begin(task) {
      const exports = spare ?? (await instantiate());
      if (exports === spare) spare = undefined;
      return new WasmRun(exports, task, (exports) => (spare = exports));
    },
  };
}
