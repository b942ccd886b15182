// In real browsers under a strict policy, with the files that stand alone. Browsers are looked for on the path;
// POUW_BROWSERS names others, separated by commas.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { browsers, launch } from './browsers.mjs';
import { body, Limiter, serve } from './limiter.mjs';
import { oracle, subtree, unit } from './units.mjs';

const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'";
const TYPES = { js: 'text/javascript', mjs: 'text/javascript', wasm: 'application/wasm' };
const units = [unit(), subtree([Buffer.alloc(99, 1), Buffer.alloc(5, 2), Buffer.alloc(0)], 2)];

/** Opens the page in a browser and gives what it reports. */
async function visit(t, browser, policy, { client = {}, waitMs = 60 } = {}) {
  const limiter = new Limiter({ waitMs });
  let told;
  const reported = new Promise((resolve) => (told = resolve));
  const url = await serve(t, async (request, response) => {
    const [, path, name, extension] = /^(\/(.*?(?:\.(\w+))?))$/.exec(request.url);
    if (path.startsWith('/api/')) return limiter.handler(request, response);
    if (path === '/report') {
      response.end();
      return told(JSON.parse(await body(request)));
    }
    if (path === '/settings') return response.end(JSON.stringify({ client, units }));
    if (path === '/') {
      response.writeHead(200, { 'Content-Type': 'text/html', 'Content-Security-Policy': policy });
      return response.end(
        '<!doctype html><title>pouw</title><link rel=stylesheet href=page.css><pouw-progress></pouw-progress><script type="module" src="page.mjs"></script>',
      );
    }
    if (path === '/page.css') {
      response.writeHead(200, { 'Content-Type': 'text/css' });
      return response.end('.light { color-scheme: light } .dark { color-scheme: dark }');
    }
    const file = new URL(name === 'page.mjs' ? name : `../dist/${name}`, import.meta.url);
    if (!existsSync(file)) return response.writeHead(404).end();
    // A worker has the policy of its own response.
    response.writeHead(200, { 'Content-Type': TYPES[extension], 'Content-Security-Policy': policy });
    response.end(readFileSync(file));
  });
  t.after(launch(browser, url));
  const timer = setTimeout(() => told({ error: 'no report came within 60 s' }), 60_000);
  const report = await reported;
  clearTimeout(timer);
  assert.equal(report.error, undefined);
  assert.deepEqual(report.texts, ['hello 1', 'hello 2', 'hello 3']);
  assert.equal(limiter.solved, 3);
  assert.equal(limiter.early, 0);
  return report;
}

for (const [browser, skip] of browsers()) {
  const hashes = units.map((one) => oracle(one).resultHash);

  test(`${browser}: all of it works under the policy that the readme names`, { skip }, async (t) => {
    // Long enough for the first text to be read out before the end.
    const report = await visit(t, browser, POLICY, { waitMs: 1_500 });
    assert.deepEqual(report.warnings, []);
    assert.deepEqual(report.violations, []);
    assert.deepEqual(report.printed, []);
    assert.deepEqual(report.hashes, hashes);
    assert.equal(report.inline, 0);
    assert.deepEqual(report.others, ['Fertig.', 'Enfin.']);
    assert.deepEqual(report.colors, ['rgb(36, 87, 197)', 'rgb(141, 176, 255)']);
    assert.deepEqual(report.before, { shown: false, said: '' });
    const { height, ...during } = report.during;
    const { text, 'aria-valuenow': now, ...rest } = during;
    assert.deepEqual(rest, {
      'aria-valuemin': '0',
      'aria-valuemax': '100',
      'aria-label': 'Progress of a small task',
      shown: true,
    });
    assert.ok(Number(now) >= 0 && Number(now) <= 100, now);
    // A slow machine may have waited long enough while it hashed.
    assert.match(text, /^The (task is done\. This service asks for a short wait|wait is over)\./);
    assert.match(report.heard[0], /^(This service is busy|The task is done|The wait is over)\./);
    assert.equal(report.heard.at(-1), 'Done. Your request went through.');
    assert.ok(
      report.gaps.every((gap) => gap >= 2_900),
      `read out after ${report.gaps} ms`,
    );
    assert.ok(height > 4, 'the styles are in force');
    assert.match(report.left[0], /40 seconds/);
    assert.deepEqual(report.left.slice(1, 2), ['']);
    assert.match(report.left[2], /^The wait is over\./);
    assert.equal(report.left[3], true);
    assert.deepEqual(report.after, { shown: false, text: 'Done. Your request went through.' });
  });

  test(`${browser}: WebAssembly refused by the policy`, { skip }, async (t) => {
    const report = await visit(t, browser, POLICY.replace("'wasm-unsafe-eval'", ''));
    assert.deepEqual(report.warnings, ['wasm_unavailable']);
    assert.equal(report.printed.length, 1);
    assert.deepEqual(
      report.hashes.filter((hash) => hash !== 'wasm_unavailable'),
      hashes,
    );
  });

  test(`${browser}: workers refused by the policy`, { skip }, async (t) => {
    const report = await visit(t, browser, POLICY.replace("worker-src 'self'", "worker-src 'none'"));
    assert.deepEqual(report.warnings, ['worker_unavailable']);
    assert.deepEqual(report.hashes, hashes);
  });

  test(`${browser}: a worker's script that is not there`, { skip }, async (t) => {
    const report = await visit(t, browser, POLICY, {
      client: { workerUrl: '/nowhere.js', wasmUrl: '/nowhere.wasm' },
    });
    assert.deepEqual(report.warnings.toSorted(), ['wasm_unavailable', 'worker_unavailable']);
  });
}
