import { toHex } from './bytes.js';
import { loadEngine, type Hashes } from './engine.js';
import { describe, PouwError } from './errors.js';
import { HASH_BYTES } from './limits.js';
import { loadWasmModule } from './wasm-module.js';
import { hashTask } from './solve.js';
import { MAX_UNIX_MS, monotonicMs } from './time.js';
import type { EngineChoice, PouwWarning, Progress, WorkResult, WorkUnit } from './types.js';
import { validateUnit } from './validate.js';

/** Options of {@link computeWorkUnit}. */
export interface ComputeOptions {
  /** Called now and then with the nodes hashed so far, and once at the end. */
  onProgress?: (progress: Progress) => void;
  /** Stops the work; the promise rejects with its reason. */
  signal?: AbortSignal;
  /** Which implementation hashes; `auto` by default. */
  engine?: EngineChoice;
  /** Told when WebAssembly is refused and JavaScript takes over; `console.warn` by default. */
  onWarning?: (warning: PouwWarning) => void;
  /** Where the WebAssembly module is, if not beside this file. */
  wasmUrl?: string | URL;
}

/**
 * Hashes what a unit of work asks for, on this thread, in slices of a few milliseconds. The unit is checked first, so
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

/** Puts the answer together. */
export function workResult(unit: WorkUnit, hashes: Hashes, computeMs: number): WorkResult {
  const leafHashes: string[] = [];
  if (unit.operation === 'subtree_hash') {
    for (let from = 0; from < hashes.leaves.length; from += HASH_BYTES) {
      leafHashes.push(toHex(hashes.leaves.subarray(from, from + HASH_BYTES)));
    }
  }
  return {
    workUnitId: unit.id,
    resultHash: toHex(hashes.top),
    ...(leafHashes.length > 0 && { leafHashes }),
    challengeToken: unit.challengeToken,
    computeTimeMs: Math.floor(computeMs),
    completedAt: new Date(Math.min(Math.max(Date.now(), 0), MAX_UNIX_MS)).toISOString(),
  };
}

/** The error that says a unit could not be hashed, if `error` is not one of ours. */
export function solverError(error: unknown, unit: WorkUnit): unknown {
  if (error instanceof PouwError) return error;
  const message = `The unit of work could not be hashed: ${describe(error)}.`;
  return new PouwError('solver_failed', message, { cause: error, workUnitId: unit.id });
}

/** What is said when WebAssembly is refused. */
export function wasmWarning(error: unknown): PouwWarning {
  const message =
    `pouw: WebAssembly is unavailable, JavaScript hashes instead, several times slower (${describe(error)}). ` +
    "A Content-Security-Policy has to allow 'wasm-unsafe-eval' in script-src, and pouw.wasm in connect-src.";
  return { code: 'wasm_unavailable', message };
}

function warnOnConsole({ message }: PouwWarning): void {
  console.warn(message);
}
