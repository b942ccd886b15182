import assert from 'node:assert/strict';
import { test } from 'node:test';
import { computeWorkUnit, PouwError } from '../dist/index.js';
import { isRfc3339 } from '../dist/time.js';
import { validateUnit } from '../dist/validate.js';
import { subtree, unit } from './units.mjs';

const leaf = Buffer.alloc(10, 7);

/** Units that do not add up, and the member that is to blame. */
const bad = [
  ['wrong lengths', subtree([leaf, leaf], 1, { leafLengths: [10, 11] }), 'leafLengths'],
  [
    'lengths that overflow',
    subtree([leaf, leaf], 1, { leafLengths: [2 ** 53 - 1, 2 ** 53 - 1] }),
    'leafLengths',
  ],
  ['a negative length', subtree([leaf, leaf], 1, { leafLengths: [21, -1] }), 'leafLengths[1]'],
  ['no lengths', subtree([leaf, leaf], 1, { leafLengths: undefined }), 'leafLengths'],
  ['no leaves', subtree([], 1, { nodeCount: 0 }), 'leafLengths'],
  ['33 leaves', subtree(Array(33).fill(leaf), 6), 'leafLengths'],
  ['an unknown operation', unit({ operation: 'mine_coins' }), 'operation'],
  ['an unknown version', unit({ version: 2 }), 'version'],
  ['more work than declared', subtree([leaf, leaf], 1, { nodeCount: 2 }), 'nodeCount'],
  ['more steps than declared', subtree([leaf], 5, { nodeCount: 1 }), 'nodeCount'],
  ['more hashes of one leaf', unit({ nodeCount: 63 }), 'nodeCount'],
  ['steps that leave two tops', subtree([leaf, leaf, leaf], 1), 'foldLevels'],
  ['41 steps', subtree([leaf], 41), 'foldLevels'],
  ['steps above one leaf', unit({ foldLevels: 1 }), 'foldLevels'],
  ['lengths of one leaf', unit({ leafLengths: [3] }), 'leafLengths'],
  [
    'two megabytes and a byte',
    unit({ inputData: Buffer.alloc((2 << 20) + 1).toString('base64') }),
    'inputData',
  ],
  ['data over the size of any unit', unit({ inputData: 'A'.repeat((4 << 20) + 4) }), 'inputData'],
  ['data that is no base64', unit({ inputData: 'YWJj\n' }), 'inputData'],
  ['three children', unit({ operation: 'interior_hash', childCount: 3 }), 'childCount'],
  ['a short child', unit({ operation: 'interior_hash', childCount: 1 }), 'inputData'],
  ['children of a leaf', unit({ childCount: 1 }), 'childCount'],
  ['a token over 512', unit({ challengeToken: 'x'.repeat(513) }), 'challengeToken'],
  ['no token', unit({ challengeToken: undefined }), 'challengeToken'],
  ['an uppercase id', unit({ id: '018BCFE5-687B-7707-8707-070707070707' }), 'id'],
  ['a named tree', unit({ treeId: 'secret.txt' }), 'treeId'],
  ['a level too deep', unit({ treeLevel: 41 }), 'treeLevel'],
  ['a place outside its level', unit({ treeLevel: 3, treeIndex: 8 }), 'treeIndex'],
  ['a fraction', unit({ treeLevel: 0.5 }), 'treeLevel'],
  ['a number over 2^53 - 1', unit({ waitMs: 2 ** 53 }), 'waitMs'],
  ['a negative wait', unit({ waitMs: -1 }), 'waitMs'],
  ['text for a number', unit({ ttlMs: '60000' }), 'ttlMs'],
  ['an unknown tier', unit({ difficulty: 'extreme' }), 'difficulty'],
  ['no flag', unit({ synthetic: 'no' }), 'synthetic'],
  ['a time of another format', unit({ createdAt: 'yesterday' }), 'createdAt'],
  ['null', null, '(document)'],
  ['a list', [], '(document)'],
];

for (const [name, asked, member] of bad) {
  test(`a unit with ${name} is refused before anything is hashed`, async () => {
    const error = await computeWorkUnit(asked).then(assert.fail, (error) => error);
    assert.ok(error instanceof PouwError, String(error));
    assert.equal(error.code, 'invalid_unit');
    assert.equal(error.member, member);
    assert.ok(error.message.includes(member) && error.message.length < 300, error.message);
  });
}

test('what is at its bound passes, and unknown members are ignored', () => {
  for (const asked of [
    unit({ version: 1, unknown: { deep: [] } }),
    unit({ inputData: Buffer.alloc(2 << 20).toString('base64') }),
    unit({ challengeToken: 'x'.repeat(512), treeLevel: 40, treeIndex: 2 ** 40 - 1, waitMs: 2 ** 53 - 1 }),
    unit({ leafLengths: [], foldLevels: 0 }),
    subtree(Array(32).fill(leaf), 5),
    subtree([leaf], 40),
  ]) {
    validateUnit(asked);
  }
});

test('times are those of RFC 3339', () => {
  for (const text of [
    '1970-01-01T00:00:00Z',
    '2026-02-28T23:59:60.123456Z',
    '2024-02-29T12:00:00+05:30',
    '1969-12-31T23:00:00-01:00',
  ]) {
    assert.ok(isRfc3339(text), text);
  }
  for (const text of [
    '',
    '2026-02-29T00:00:00Z',
    '2026-01-01 00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:00:00',
    '1969-12-31T23:59:59Z',
    '9999-12-31T00:00:00Z',
    '2026-01-01t00:00:00z',
    '0070-01-01T00:00:00Z',
    7,
  ]) {
    assert.ok(!isRfc3339(text), String(text));
  }
});
