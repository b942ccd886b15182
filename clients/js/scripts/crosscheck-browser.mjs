// As crosscheck.mjs, in each browser on the path (or those that POUW_BROWSERS names), with pouw.js as a page loads it.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { browsers, launch } from '../test/browsers.mjs';
import { body } from '../test/limiter.mjs';
import { rustLines } from './rust-lines.mjs';

const [count = '1000', seed = '1', file] = process.argv.slice(2);
const lines = rustLines(count, seed, file);
const TYPES = { js: 'text/javascript', wasm: 'application/wasm' };

const page = `
  import { computeWorkUnit, toCompact } from './pouw.js';
  const report = { units: 0, differences: [] };
  try {
    for (const line of (await (await fetch('/lines')).text()).split('\\n')) {
      const { unit, result: rust, compact } = JSON.parse(line);
      report.units += 1;
      for (const engine of ['wasm', 'js']) {
        const { computeTimeMs, completedAt } = rust;
        const result = { ...(await computeWorkUnit(unit, { engine })), computeTimeMs, completedAt };
        const same = JSON.stringify(result) === JSON.stringify(rust) && toCompact(result) === compact;
        if (!same) report.differences.push(engine + ' ' + unit.operation + ' ' + unit.id);
      }
    }
  } catch (error) {
    report.differences.push(String(error));
  }
  await fetch('/report', { method: 'POST', body: JSON.stringify(report) });`;

let told;
const server = createServer(async (request, response) => {
  const name = request.url.slice(1);
  if (name === '')
    return response.setHeader('Content-Type', 'text/html').end('<script type=module src=page.js></script>');
  if (name === 'lines') return response.end(lines.join('\n'));
  if (name === 'report') {
    response.end();
    return told(JSON.parse(await body(request)));
  }
  const type = TYPES[name.split('.').at(-1)];
  if (name === 'page.js') return response.setHeader('Content-Type', type).end(page);
  if (!['pouw.js', 'pouw.wasm'].includes(name)) return response.writeHead(404).end();
  response.setHeader('Content-Type', type).end(readFileSync(new URL(`../dist/${name}`, import.meta.url)));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

for (const [browser, skip] of browsers()) {
  if (skip) {
    console.log(`${browser}: skipped, ${skip}`);
    continue;
  }
  const reported = new Promise((resolve) => (told = resolve));
  const end = launch(browser, `http://127.0.0.1:${server.address().port}/`);
  const timer = setTimeout(() => told({ units: 0, differences: ['no report came within 300 s'] }), 300_000);
  const { units, differences } = await reported;
  clearTimeout(timer);
  await end();
  console.log(
    `${browser}: ${units} units, ${differences.length} differences ${differences.slice(0, 5).join(', ')}`,
  );
  if (differences.length > 0 || units !== Number(count)) process.exitCode = 1;
}
server.closeAllConnections();
server.close();
