import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import * as web from './platform-web.js';
import type { WorkerPort } from './worker-port.js';

/** Reads and compiles a module. */
export async function compileFile(url: URL): Promise<WebAssembly.Module> {
  if (url.protocol !== 'file:') return web.compileFile(url);
  return WebAssembly.compile(await readFile(url));
}

/** Starts a worker of this package; at `url`, or beside this file. It does not keep the process alive when idle. */
export function startWorker(url?: string | URL): WorkerPort {
  const script = url === undefined ? new URL('./worker-node.js', import.meta.url) : new URL(url);
  // Not with the flags of the process: some of them a worker refuses.
  const worker = new Worker(script, { execArgv: [] });
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    listen(onMessage, onError) {
      worker.removeAllListeners();
      worker.on('message', onMessage);
      worker.on('messageerror', onError);
      worker.on('error', onError);
      worker.on('exit', () => onError(new Error('the worker ended')));
    },
    busy: (busy) => (busy ? worker.ref() : worker.unref()),
    end: () => void worker.terminate(),
  };
}
