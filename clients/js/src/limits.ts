/** Every bound of the wire format, by name. */

/** The most leaves in one unit. */
export const MAX_UNIT_LEAVES = 32;
/** The most parent steps in one unit, and the deepest level of a unit. */
export const MAX_FOLD_LEVELS = 40;
/** The most bytes of `inputData`, decoded. */
export const MAX_UNIT_DATA_BYTES = 2 << 20;
/** The most bytes of a unit as JSON. */
export const MAX_UNIT_JSON_BYTES = 4 << 20;
/** The most characters of a challenge token. */
export const MAX_TOKEN_CHARS = 512;
/** The most bytes of a 429 that is looked at: a unit has little beside it. */
export const MAX_PROBLEM_BYTES = MAX_UNIT_JSON_BYTES + (64 << 10);
/** Bytes of one SHA3-512 value. */
export const HASH_BYTES = 64;
