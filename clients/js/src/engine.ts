import { jsEngine } from './engine-js.js';
import { wasmEngine } from './engine-wasm.js';
import type { EngineChoice } from './types.js';
import type { Task } from './validate.js';

/** One unit being hashed, piece by piece. */
export interface Run {
  /** Nodes hashed so far. */
  readonly done: number;
  /** Hashes the next piece: a few milliseconds at most. */
  step(): void;
  /** The top node and the leaf hashes; to be called when all nodes are done. */
  finish(): Hashes;
}

/** What a {@link Run} yields. */
export interface Hashes {
  /** The top node. */
  top: Uint8Array;
  /** The leaf hashes, one after the other. */
  leaves: Uint8Array;
}

/** An implementation of the hashing. Holds no state between runs. */
export interface Engine {
  /** Which one it is. */
  readonly name: 'wasm' | 'js';
  /** Begins a unit; runs do not disturb each other. */
  begin(task: Task): Promise<Run>;
}

/** An engine, and why it is not the preferred one. */
export interface LoadedEngine {
  /** The engine. */
  engine: Engine;
  /** Why WebAssembly is not used, if it was refused. */
  wasmError?: unknown;
}

/**
 * Loads an engine. `auto` tries WebAssembly and falls back to JavaScript.
 *
 * @throws whatever refused WebAssembly, when nothing but `wasm` will do.
 */
export async function loadEngine(
  choice: EngineChoice,
  wasmModule: () => Promise<WebAssembly.Module>,
): Promise<LoadedEngine> {
  if (choice === 'js') return { engine: jsEngine };
  try {
    return { engine: await wasmEngine(await wasmModule()) };
  } catch (error) {
    if (choice === 'wasm') throw error;
    return { engine: jsEngine, wasmError: error };
  }
}
