// The rate limit headers of the real server, read by a package that many programs use. POUW_BIN names a `pouw` built
// with the feature `serve`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRateLimit } from 'ratelimit-header-parser';
import { start } from './server.mjs';

const { POUW_BIN } = process.env;
const skip = POUW_BIN ? false : 'POUW_BIN does not name a pouw with the feature serve';

/** The `ratelimit_draft` of the server, and whether the package reads its headers; `undefined` for the default. */
const FORMS = [
  [undefined, true],
  ['compatible', true],
  ['draft7', true],
  ['none', true],
  // The package knows no version after 7, and prefers the header that it cannot read.
  ['draft8', false],
  ['draft12', false],
];

for (const [form, reads] of FORMS) {
  test(`ratelimit-header-parser and the form ${form ?? 'of the default'}`, { skip }, async (t) => {
    const settings = form === undefined ? '' : `ratelimit_draft = "${form}"\n`;
    const { url } = await start(t, POUW_BIN, { files: [], settings, options: ['--rate', '3'] });
    for (const remaining of [2, 1, 0, 0]) {
      const before = Date.now();
      const { limit, used, remaining: left, reset } = parseRateLimit(await fetch(`${url}/hello`));
      if (!reads) {
        assert.ok([limit, left, reset.getTime()].every(Number.isNaN));
        continue;
      }
      assert.deepEqual([limit, used, left], [3, 3 - remaining, remaining]);
      // The window is 60 s, and a slot frees up to a 250th of it later.
      const seconds = (reset.getTime() - before) / 1_000;
      assert.ok(seconds > 30 && seconds < 65, `${seconds} s`);
    }
  });
}
