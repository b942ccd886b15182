/** The operation of a unit. */
export type WorkUnitOperation = 'leaf_hash' | 'subtree_hash' | 'interior_hash';

/** The amount of work. */
export type DifficultyTier = 'low' | 'medium' | 'high';

/** A piece of a Merkle tree to be hashed, as in a 429. */
export interface WorkUnit {
  /** The id of this challenge and of its receipt: a UUID. */
  id: string;
  /** The opaque id of the tree. */
  treeId: string;
  /** Level of the unit's top node; level 0 is the root. */
  treeLevel: number;
  /** Index of the unit's top node within its level. */
  treeIndex: number;
  /** The operation. */
  operation: WorkUnitOperation;
  /** Base64: leaf bytes; concatenated leaves; or concatenated child hashes of 64 bytes. */
  inputData: string;
  /** Bytes of each leaf in order; `subtree_hash` only. */
  leafLengths?: number[];
  /** Parent steps to apply to the leaf hashes; `subtree_hash` only. */
  foldLevels?: number;
  /** Child hashes in the data; 0 unless the operation is `interior_hash`. */
  childCount: number;
  /** Hashes needed for this unit. */
  nodeCount: number;
  /** True for random data made for this challenge only. */
  synthetic: boolean;
  /** The tier the unit was issued for. */
  difficulty: DifficultyTier;
  /** The token, which the answer returns unchanged. */
  challengeToken: string;
  /** The time of issue (RFC 3339), for people: clocks are never compared. */
  createdAt: string;
  /** The time of expiry (RFC 3339), for people. */
  expiresAt: string;
  /** The time from which an answer counts (RFC 3339), for people. */
  notBefore: string;
  /** Milliseconds from receipt until an answer counts. */
  waitMs: number;
  /** Milliseconds from receipt until expiry. */
  ttlMs: number;
}

/** The answer to one unit, as the wire format has it in JSON. */
export interface WorkResult {
  /** The id of the unit this answers. */
  workUnitId: string;
  /** The unit's top node, 128 lowercase hex digits. */
  resultHash: string;
  /** The leaf hashes in order; only for `subtree_hash`. */
  leafHashes?: string[];
  /** The token, unchanged. */
  challengeToken: string;
  /** Duration of the work in whole milliseconds. Telemetry: it never changes a decision. */
  computeTimeMs: number;
  /** Time of completion, RFC 3339. Telemetry: it never changes a decision. */
  completedAt: string;
}

/** Progress in a unit: nodes hashed so far and in total. */
export interface Progress {
  /** Nodes hashed. */
  done: number;
  /** Nodes in the unit; the last report has `done === total`. */
  total: number;
}

/** The implementation that hashes. `auto` is WebAssembly, or JavaScript if that is not available. */
export type EngineChoice = 'auto' | 'wasm' | 'js';

/** A warning that hashing is slower or less smooth than it could be. */
export interface PouwWarning {
  /** The missing feature. */
  code: 'wasm_unavailable' | 'worker_unavailable';
  /** The cause and the effect, for a developer. */
  message: string;
}

/** The first argument of `fetch`, derived from it because Node's types do not name it. */
export type FetchInput = Parameters<typeof fetch>[0];

/** A listener for any event, derived from `EventTarget` for the same reason. */
export type AnyListener = Parameters<EventTarget['addEventListener']>[1];

/** Options of `addEventListener`. */
export type ListenerOptions = Parameters<EventTarget['addEventListener']>[2];
