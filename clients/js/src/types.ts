/** What a unit asks to be hashed. */
export type WorkUnitOperation = 'leaf_hash' | 'subtree_hash' | 'interior_hash';

/** How much work a client is asked for. */
export type DifficultyTier = 'low' | 'medium' | 'high';

/** A piece of a Merkle tree to be hashed, as it stands in a 429. */
export interface WorkUnit {
  /** The name of this challenge: a UUID, also of its receipt. */
  id: string;
  /** The opaque name of the tree. */
  treeId: string;
  /** Level of the unit's top node; level 0 is the root. */
  treeLevel: number;
  /** Index of the unit's top node within its level. */
  treeIndex: number;
  /** What is to be hashed. */
  operation: WorkUnitOperation;
  /** Base64: leaf bytes; concatenated leaves; or concatenated child hashes of 64 bytes. */
  inputData: string;
  /** Bytes of each leaf in order; `subtree_hash` only. */
  leafLengths?: number[];
  /** Parent steps to apply to the leaf hashes; `subtree_hash` only. */
  foldLevels?: number;
  /** Child hashes in the data; 0 unless the operation is `interior_hash`. */
  childCount: number;
  /** Hashes this unit asks for. */
  nodeCount: number;
  /** True for made-up work. */
  synthetic: boolean;
  /** The tier the unit was issued for. */
  difficulty: DifficultyTier;
  /** The token that an answer carries back, byte for byte. */
  challengeToken: string;
  /** When the unit was issued (RFC 3339); for people, no clock is compared with it. */
  createdAt: string;
  /** When its token stops being accepted (RFC 3339); for people. */
  expiresAt: string;
  /** The instant before which an answer is not looked at (RFC 3339); for people. */
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
  /** The token as it was issued. */
  challengeToken: string;
  /** What the work took, in whole milliseconds. Telemetry. */
  computeTimeMs: number;
  /** When it was done, RFC 3339. Telemetry: it never changes a decision. */
  completedAt: string;
}

/** How far a unit is: nodes hashed so far, of how many. */
export interface Progress {
  /** Nodes hashed. */
  done: number;
  /** Nodes the unit asks for; the last report has `done === total`. */
  total: number;
}

/** Which implementation hashes. `auto` is WebAssembly, and JavaScript where that is refused. */
export type EngineChoice = 'auto' | 'wasm' | 'js';

/** Something that works, but slower or less smoothly than it could. */
export interface PouwWarning {
  /** What is missing. */
  code: 'wasm_unavailable' | 'worker_unavailable';
  /** What happened and what follows from it, for a developer. */
  message: string;
}

/** What `fetch` takes first. Named by way of `fetch`, because Node's types have no name for it. */
export type FetchInput = Parameters<typeof fetch>[0];

/** A listener of any event, named by way of `EventTarget` for the same reason. */
export type AnyListener = Parameters<EventTarget['addEventListener']>[1];

/** Options of `addEventListener`. */
export type ListenerOptions = Parameters<EventTarget['addEventListener']>[2];
