import { sha3_512 } from '@noble/hashes/sha3.js';
import type { Engine, Hashes, Run } from './hashing.js';
import { HASH_BYTES } from './limits.js';
import type { Task } from './validate.js';

/** Bytes hashed between two looks at the clock. */
const PIECE_BYTES = 16 << 10;

class JsRun implements Run {
  done = 0;
  #task: Task;
  #leaves: Uint8Array;
  #leaf = 0;
  #from = 0;
  #to: number;
  #hash = sha3_512.create();

  constructor(task: Task) {
    this.#task = task;
    this.#leaves = new Uint8Array(task.lengths.length * HASH_BYTES);
    this.#to = task.lengths[0]!;
  }

  step(): void {
    const end = Math.min(this.#from + PIECE_BYTES, this.#to);
    this.#hash.update(this.#task.data.subarray(this.#from, end));
    this.#from = end;
    if (end < this.#to) return;
    this.#leaves.set(this.#hash.digest(), this.#leaf * HASH_BYTES);
    this.#leaf += 1;
    this.done += 1;
    const next = this.#task.lengths[this.#leaf];
    if (next === undefined) {
      // At most 31 parents and 40 steps above a lone node: less than a piece.
      this.done = this.#task.nodeCount;
      return;
    }
    this.#to += next;
    this.#hash = sha3_512.create();
  }

  finish(): Hashes {
    let row = this.#leaves;
    for (let step = 0; step < this.#task.foldLevels; step++) row = parents(row);
    return { top: row, leaves: this.#leaves };
  }
}

/** The parents of a row of nodes; an odd last node is hashed alone. */
function parents(row: Uint8Array): Uint8Array {
  const above = new Uint8Array(Math.ceil(row.length / (2 * HASH_BYTES)) * HASH_BYTES);
  for (let from = 0, to = 0; from < row.length; from += 2 * HASH_BYTES, to += HASH_BYTES) {
    above.set(sha3_512(row.subarray(from, from + 2 * HASH_BYTES)), to);
  }
  return above;
}

/** Hashes in JavaScript, everywhere. */
export const jsEngine: Engine = { name: 'js', begin: (task) => Promise.resolve(new JsRun(task)) };
