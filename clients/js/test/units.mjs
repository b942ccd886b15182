// Units of work, and their answers by an implementation that is not this package's.
import { createHash, randomBytes, randomUUID } from 'node:crypto';

export const sha3 = (...parts) => {
  const hash = createHash('sha3-512');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** A sound unit: of one leaf, or of the members given. */
export function unit(members = {}) {
  return {
    id: randomUUID().replace(/^(.{14})./, '$17'),
    treeId: randomBytes(16).toString('hex'),
    treeLevel: 0,
    treeIndex: 0,
    operation: 'leaf_hash',
    inputData: Buffer.from('abc').toString('base64'),
    childCount: 0,
    nodeCount: 1,
    synthetic: false,
    difficulty: 'low',
    challengeToken: randomBytes(196).toString('base64url'),
    createdAt: '2026-01-01T00:00:00.000Z',
    expiresAt: '2026-01-01T00:01:00.000Z',
    notBefore: '2026-01-01T00:00:00.000Z',
    waitMs: 0,
    ttlMs: 60_000,
    ...members,
  };
}

/** Nodes over a range of leaves after so many parent steps. */
export function nodes(leaves, foldLevels) {
  let sum = 0;
  for (let j = 0; j <= foldLevels; j++) sum += Math.ceil(leaves / 2 ** j);
  return sum;
}

/** A unit over leaves. */
export function subtree(leaves, foldLevels, members = {}) {
  return unit({
    operation: 'subtree_hash',
    inputData: Buffer.concat(leaves).toString('base64'),
    leafLengths: leaves.map((leaf) => leaf.length),
    foldLevels,
    nodeCount: nodes(leaves.length, foldLevels),
    difficulty: 'high',
    ...members,
  });
}

/** The hashes of a unit: top and leaves, in hex. */
export function oracle({ operation, inputData, leafLengths, foldLevels }) {
  const data = Buffer.from(inputData, 'base64');
  if (operation !== 'subtree_hash') return { resultHash: sha3(data).toString('hex'), leafHashes: undefined };
  let at = 0;
  const leaves = leafLengths.map((length) => sha3(data.subarray(at, (at += length))));
  let row = leaves;
  for (let step = 0; step < foldLevels; step++) {
    row = Array.from({ length: Math.ceil(row.length / 2) }, (_, i) => sha3(...row.slice(2 * i, 2 * i + 2)));
  }
  return { resultHash: row[0].toString('hex'), leafHashes: leaves.map((leaf) => leaf.toString('hex')) };
}
