import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Runs a script with the package at hand until it ends by itself. */
export async function run(url, lines) {
  const index = new URL('../dist/index.js', import.meta.url).href;
  const text = `import { createPouwClient, pouwFetch } from ${JSON.stringify(index)}; const url = ${JSON.stringify(url)};\n${lines}`;
  const args = ['--unhandled-rejections=strict', '--input-type=module', '-e', text];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (printed += data));
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const [code] = await once(child, 'exit');
  clearTimeout(timer);
  return [code, printed.trim()];
}
