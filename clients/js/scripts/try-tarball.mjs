// The second half of try-tarball.sh: uses what it set up in the folder given, against a limiter in this process.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { browsers, launch } from '../test/browsers.mjs';
import { body, Limiter } from '../test/limiter.mjs';

const [folder] = process.argv.slice(2);
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";
const TYPES = { html: 'text/html', js: 'text/javascript', wasm: 'application/wasm' };
const limiter = new Limiter({ waitMs: 100 });
let told;

const server = createServer(async (request, response) => {
  if (request.url.startsWith('/api/')) return limiter.handler(request, response);
  if (request.url === '/report') {
    response.end();
    return told(JSON.parse(await body(request)));
  }
  const file = join(folder, 'vite/dist', request.url === '/' ? 'index.html' : request.url);
  if (!existsSync(file)) return response.writeHead(404).end();
  const type = TYPES[file.split('.').at(-1)];
  response.writeHead(200, { 'Content-Type': type, 'Content-Security-Policy': POLICY });
  response.end(readFileSync(file));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${server.address().port}`;

/** Runs a program to its end beside this server. */
function run(command, args, options) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
  let printed = '';
  child.stdout.on('data', (data) => (printed += data));
  return new Promise((resolve) => child.on('exit', (code) => resolve([code, printed.trim()])));
}

const script = `import { createPouwClient } from 'pouw';
  import 'pouw/element';
  const client = createPouwClient();
  client.addEventListener('warning', ({ detail }) => console.log(detail.message));
  console.log(await (await client.fetch('${url}/api/hello', { method: 'POST', body: 'node' })).text());
  client.close();`;
const node = await run(process.execPath, ['--input-type=module', '-e', script], {
  cwd: join(folder, 'node'),
});
assert.deepEqual(node, [0, 'hello node']);
console.log('plain Node: through');

const [browser] = browsers().find(([, skip]) => !skip) ?? [];
assert.ok(browser, 'no browser to open the page with');

async function visit(address, what) {
  const solved = limiter.solved;
  const reported = new Promise((resolve) => (told = resolve));
  const end = launch(browser, address);
  const timer = setTimeout(() => told({ error: 'no report came within 60 s' }), 60_000);
  const report = await reported;
  clearTimeout(timer);
  await end();
  const said = 'Done. You are through.';
  assert.deepEqual(report, { warnings: [], solved: 1, text: 'hello vite', said }, what);
  assert.equal(limiter.solved, solved + 1);
  console.log(`${what}: through, no warning`);
}

await visit(url, "Vite's build under the strict policy");

const port = 20_000 + (process.pid % 20_000);
const args = ['vite', '--host', '127.0.0.1', '--logLevel', 'warn'];
const env = { ...process.env, API: url, PORT: String(port) };
const dev = spawn('npx', args, { cwd: join(folder, 'vite'), env, stdio: 'inherit', detached: true });
try {
  const address = `http://127.0.0.1:${port}/`;
  for (let tries = 0; spawnSync('curl', ['-sf', '-o', '/dev/null', address]).status !== 0; tries++) {
    assert.ok(tries < 100, "Vite's development server did not start");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await visit(address, "Vite's development server");
} finally {
  process.kill(-dev.pid, 'SIGTERM');
}
server.closeAllConnections();
server.close();
