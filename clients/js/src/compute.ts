import { loadEngine } from './engine.js';
import { solverError, wasmWarning, workResult } from './outcome.js';
import { loadWasmModule } from './wasm-module.js';
import { hashTask } from './solve.js';
import { monotonicMs } from './time.js';
import type { EngineChoice, PouwWarning, Progress, WorkResult, WorkUnit } from './types.js';
import { validateUnit } from './validate.js';

/** Options of {@link computeWorkUnit}. */
export interface ComputeOptions {
  /** Called repeatedly with the nodes hashed so far, and once at the end. */
  onProgress?: (progress: Progress) => void;
  /** Stops the work; the promise rejects with its reason. */
  signal?: AbortSignal;
  /** Which implementation hashes; `auto` by default. */
  engine?: EngineChoice;
  /** Called when WebAssembly is not available and JavaScript hashes instead; default `console.warn`. */
  onWarning?: (warning: PouwWarning) => void;
  /** Where the WebAssembly module is, if not beside this file. */
  wasmUrl?: string | URL;
}

/**
 * Computes a unit of work on this thread, in slices of a few milliseconds. The unit is checked first, so
 * that a broken or hostile server costs nothing.
 *
 * @param unit the member `workUnit` of a 429, as it came.
 * @returns the answer to send back.
 * @throws {@link PouwError} `invalid_unit` before anything is hashed, or `solver_failed`; the signal's reason.
 */
export async function computeWorkUnit(unit: WorkUnit, options: ComputeOptions = {}): Promise<WorkResult> {
  const { engine: choice = 'auto', signal, onWarning = warnOnConsole } = options;
  const task = validateUnit(unit);
  signal?.throwIfAborted();
  const started = monotonicMs();
  try {
    const { engine, wasmError } = await loadEngine(choice, () => loadWasmModule(options.wasmUrl));
    if (wasmError !== undefined) onWarning(wasmWarning(wasmError));
    const hashes = await hashTask(engine, task, options);
    return workResult(unit, hashes, monotonicMs() - started);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw solverError(error, unit);
  }
}

function warnOnConsole({ message }: PouwWarning): void {
  console.warn(message);
}
