import { fromBase64 } from './bytes.js';
import { PouwError } from './errors.js';
import {
  HASH_BYTES,
  MAX_FOLD_LEVELS,
  MAX_TOKEN_CHARS,
  MAX_UNIT_DATA_BYTES,
  MAX_UNIT_JSON_BYTES,
  MAX_UNIT_LEAVES,
} from './limits.js';
import { isRfc3339 } from './time.js';
import type { WorkUnit } from './types.js';

/** The data to hash of a valid unit. */
export interface Task {
  /** The leaves one after the other; for a unit of one hash, its data. */
  data: Uint8Array;
  /** Bytes of each leaf. */
  lengths: number[];
  /** Parent steps above the leaves. */
  foldLevels: number;
  /** Total number of hashes. */
  nodeCount: number;
}

/**
 * Nodes in the subtree over `leaves` leaves after `foldLevels` parent steps: the sum of `ceil(leaves / 2^j)` for
 * j from 0 to `foldLevels`.
 */
export function subtreeNodes(leaves: number, foldLevels: number): number {
  let nodes = leaves;
  for (let row = leaves, step = 0; step < foldLevels; step++) {
    row = Math.ceil(row / 2);
    nodes += row;
  }
  return nodes;
}

/**
 * Checks that a unit is valid by the rules of the protocol: known words, bounded counts, lengths that sum to the
 * data, the node count of the subtree, a position inside a tree. Unknown members are ignored, except a `version`
 * other than 1, which a later protocol may have.
 *
 * @throws {@link PouwError} `invalid_unit`; `member` names the first invalid member.
 */
export function validateUnit(value: unknown): Task {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('(document)', 'a JSON object', value);
  }
  const unit = value as Record<string, unknown>;
  if ('version' in unit && unit.version !== 1)
    throw refuse('version', '1, the only one known here', unit.version);
  text(unit, 'id', UUID, 'a lowercase hyphenated UUID of 36 characters');
  text(unit, 'treeId', TREE_ID, '32 lowercase hex digits');
  whole(unit, 'treeLevel', 255);
  whole(unit, 'treeIndex');
  text(unit, 'operation', OPERATION, 'leaf_hash, subtree_hash or interior_hash');
  const subtree = unit.operation === 'subtree_hash';
  const data = inputData(unit);
  const lengths = leafLengths(unit, subtree);
  const foldLevels = subtree || unit.foldLevels !== undefined ? whole(unit, 'foldLevels', 255) : 0;
  whole(unit, 'childCount', 0xffff_ffff);
  const nodeCount = whole(unit, 'nodeCount');
  if (typeof unit.synthetic !== 'boolean') throw refuse('synthetic', 'true or false', unit.synthetic);
  text(unit, 'difficulty', DIFFICULTY, 'low, medium or high');
  if (typeof unit.challengeToken !== 'string') throw refuse('challengeToken', 'text', unit.challengeToken);
  for (const member of ['createdAt', 'expiresAt', 'notBefore']) {
    if (!isRfc3339(unit[member]))
      throw refuse(member, 'RFC 3339 text, from 1970 to 9999-12-30', unit[member]);
  }
  whole(unit, 'waitMs');
  whole(unit, 'ttlMs');
  addsUp(unit as unknown as WorkUnit, data.length, lengths, foldLevels);
  return { data, lengths: subtree ? lengths : [data.length], foldLevels, nodeCount };
}

function addsUp(unit: WorkUnit, bytes: number, lengths: number[], foldLevels: number): void {
  atMost('inputData', MAX_UNIT_DATA_BYTES, bytes);
  atMost('challengeToken', MAX_TOKEN_CHARS, new TextEncoder().encode(unit.challengeToken).length);
  atMost('foldLevels', MAX_FOLD_LEVELS, foldLevels);
  atMost('treeLevel', MAX_FOLD_LEVELS, unit.treeLevel);
  atMost('treeIndex', 2 ** unit.treeLevel - 1, unit.treeIndex);
  if (unit.operation === 'subtree_hash') {
    if (lengths.length === 0) throw refuse('leafLengths', '1 to 32 leaves', 0);
    const sum = lengths.reduce((sum, length) => sum + length, 0);
    exactly('leafLengths', bytes, sum);
    if (lengths.length > 2 ** foldLevels) {
      throw refuse('foldLevels', `the number of steps from ${lengths.length} leaves to one node`, foldLevels);
    }
    exactly('childCount', 0, unit.childCount);
    exactly('nodeCount', subtreeNodes(lengths.length, foldLevels), unit.nodeCount);
    return;
  }
  if (unit.operation === 'interior_hash') {
    if (unit.childCount !== 1 && unit.childCount !== 2) throw refuse('childCount', '1 or 2', unit.childCount);
    exactly('inputData', unit.childCount * HASH_BYTES, bytes);
  } else {
    exactly('childCount', 0, unit.childCount);
  }
  exactly('leafLengths', 0, lengths.length);
  exactly('foldLevels', 0, foldLevels);
  exactly('nodeCount', 1, unit.nodeCount);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TREE_ID = /^[0-9a-f]{32}$/;
const OPERATION = /^(?:leaf|subtree|interior)_hash$/;
const DIFFICULTY = /^(?:low|medium|high)$/;

function inputData(unit: Record<string, unknown>): Uint8Array {
  const { inputData: found } = unit;
  if (typeof found !== 'string') throw refuse('inputData', 'base64 text', found);
  if (found.length > MAX_UNIT_JSON_BYTES)
    throw refuse('inputData', `at most ${MAX_UNIT_DATA_BYTES} bytes`, found);
  const data = fromBase64(found);
  if (data === undefined) throw refuse('inputData', 'base64 in the standard alphabet, padded', found);
  return data;
}

function leafLengths(unit: Record<string, unknown>, subtree: boolean): number[] {
  const found = unit.leafLengths ?? (subtree || unit.leafLengths === null ? undefined : []);
  if (!Array.isArray(found)) throw refuse('leafLengths', 'a list of whole numbers', found);
  if (found.length > MAX_UNIT_LEAVES)
    throw refuse('leafLengths', `at most ${MAX_UNIT_LEAVES} leaves`, found.length);
  return found.map((length: unknown, i) => {
    if (!isWhole(length)) throw refuse(`leafLengths[${i}]`, 'a whole number', length);
    return length;
  });
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function whole(unit: Record<string, unknown>, member: string, max = Number.MAX_SAFE_INTEGER): number {
  const found = unit[member];
  if (!isWhole(found) || found > max) throw refuse(member, `a whole number from 0 to ${max}`, found);
  return found;
}

function text(unit: Record<string, unknown>, member: string, pattern: RegExp, expected: string): void {
  const found = unit[member];
  if (typeof found !== 'string' || !pattern.test(found)) throw refuse(member, expected, found);
}

function atMost(member: string, max: number, found: number): void {
  if (found > max) throw refuse(member, `0 to ${max}`, found);
}

function exactly(member: string, expected: number, found: number): void {
  if (found !== expected) throw refuse(member, `${expected}, as the other members imply`, found);
}

function refuse(member: string, expected: string, found: unknown): PouwError {
  const shown = found === undefined ? 'nothing' : excerpt(found);
  const message = `Invalid ${member} in the unit of work: expected ${expected}, found ${shown}.`;
  return new PouwError('invalid_unit', message, { member });
}

function excerpt(found: unknown): string {
  if (typeof found === 'number' || typeof found === 'boolean' || found === null) return String(found);
  if (typeof found === 'string')
    return JSON.stringify(found.length > 40 ? `${found.slice(0, 40)}...` : found);
  return Array.isArray(found) ? `a list of ${found.length}` : `a value of type ${typeof found}`;
}
