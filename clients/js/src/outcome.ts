import { toHex } from './bytes.js';
import type { Hashes } from './engine.js';
import { describe, PouwError } from './errors.js';
import { HASH_BYTES } from './limits.js';
import { MAX_UNIX_MS } from './time.js';
import type { PouwWarning, WorkResult, WorkUnit } from './types.js';

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
