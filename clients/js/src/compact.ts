import { fromHex, toBase64Url } from './bytes.js';
import { HASH_BYTES } from './limits.js';
import type { WorkResult } from './types.js';

const VERSION = 1;
const HEAD_BYTES = 98;

/** The result in compact form, for the header `X-PoUW-Result`. The token is not inside. */
export function toCompact(result: WorkResult): string {
  const leaves = result.leafHashes ?? [];
  const bytes = new Uint8Array(HEAD_BYTES + leaves.length * HASH_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = VERSION;
  bytes.set(fromHex(result.workUnitId.replaceAll('-', '')), 1);
  bytes.set(fromHex(result.resultHash), 17);
  view.setBigUint64(81, BigInt(result.computeTimeMs), true);
  view.setBigUint64(89, BigInt(Date.parse(result.completedAt)), true);
  bytes[97] = leaves.length;
  leaves.forEach((leaf, i) => bytes.set(fromHex(leaf), HEAD_BYTES + i * HASH_BYTES));
  return toBase64Url(bytes);
}
