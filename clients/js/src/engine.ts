import { jsEngine } from './engine-js.js';
import { wasmEngine } from './engine-wasm.js';
import type { Engine } from './hashing.js';
import type { EngineChoice } from './types.js';

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
