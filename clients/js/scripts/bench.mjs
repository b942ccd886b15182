// Throughput of WebAssembly beside JavaScript, here and in each browser on the path (or those that POUW_BROWSERS names),
// and the sizes of the files a page loads.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { browsers, launch } from '../test/browsers.mjs';
import { body } from '../test/limiter.mjs';
import { measured } from './throughput.mjs';

const dist = new URL('../dist/', import.meta.url);
const wasm = readFileSync(new URL(process.argv[2] ?? './pouw.wasm', dist));

console.log(`Node ${process.version}\n\n${await measured(await WebAssembly.compile(wasm))}`);

const { outputFiles } = await build({
  stdin: {
    contents: `import { measured } from './throughput.mjs';
      const table = WebAssembly.compileStreaming(fetch('pouw.wasm')).then(measured).catch(String);
      fetch('/report', { method: 'POST', body: await table });`,
    resolveDir: fileURLToPath(new URL('.', import.meta.url)),
  },
  bundle: true,
  format: 'esm',
  write: false,
});
let told;
const server = createServer(async (request, response) => {
  const send = (type, content) => response.setHeader('Content-Type', type).end(content);
  if (request.url === '/') return send('text/html', '<script type=module src=page.js></script>');
  if (request.url === '/page.js') return send('text/javascript', outputFiles[0].text);
  if (request.url === '/pouw.wasm') return send('application/wasm', wasm);
  if (request.url !== '/report') return response.writeHead(404).end();
  response.end();
  told(await body(request));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
for (const [browser, skip] of browsers()) {
  if (skip) {
    console.log(`\n${browser}: skipped, ${skip}`);
    continue;
  }
  const reported = new Promise((resolve) => (told = resolve));
  const end = launch(browser, `http://127.0.0.1:${server.address().port}/`);
  const timer = setTimeout(() => told('no report came within 120 s'), 120_000);
  console.log(`\n${browser}\n\n${await reported}`);
  clearTimeout(timer);
  await end();
}
server.closeAllConnections();
server.close();

console.log('\n| file | bytes | gzip -9 |\n|---|---|---|');
let [raw, packed] = [0, 0];
for (const name of ['pouw.js', 'worker.js', 'pouw.wasm', 'pouw-element.js']) {
  const bytes = readFileSync(new URL(name, dist));
  const gzip = gzipSync(bytes, { level: 9 }).length;
  [raw, packed] = [raw + bytes.length, packed + gzip];
  console.log(`| ${name} | ${bytes.length} | ${gzip} |`);
}
console.log(`| all | ${raw} | ${packed} |`);
