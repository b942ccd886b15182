import { toHex } from './bytes.js';
import { describe, PouwError } from './errors.js';
import type { Hashes } from './hashing.js';
import { HASH_BYTES } from './limits.js';
import { MAX_UNIX_MS } from './time.js';
import type { PouwWarning, WorkResult, WorkUnit } from './types.js';

/** Builds the answer. */
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

/** Wraps an error of hashing, unless it is a `PouwError`. */
export function solverError(error: unknown, unit: WorkUnit): unknown {
  if (error instanceof PouwError) return error;
  const message = `The unit of work could not be hashed: ${describe(error)}.`;
  return new PouwError('solver_failed', message, { cause: error, workUnitId: unit.id });
}

/** The warning that WebAssembly is not available. */
export function wasmWarning(error: unknown): PouwWarning {
  const message =
    `pouw: WebAssembly is not available (${describe(error)}); JavaScript hashes instead, several times slower. ` +
    "Allow 'wasm-unsafe-eval' in script-src and pouw.wasm in connect-src of the Content-Security-Policy.";
  return { code: 'wasm_unavailable', message };
}
