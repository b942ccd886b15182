import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import * as web from './platform-web.js';
import type { WorkerPort } from './worker-port.js';

/** Reads and compiles a module. */
export async function compileFile(url: string | URL): Promise<WebAssembly.Module> {
  const { href, protocol } = new URL(url);
  return protocol === 'file:' ? WebAssembly.compile(await readFile(new URL(href))) : web.compileFile(href);
}

/** Starts a worker of this package; at `url`, or beside this file. */
export function startWorker(url?: string | URL): WorkerPort {
  const script = url === undefined ? new URL('./worker-node.js', import.meta.url) : new URL(url);
  // Not with the flags of the process: some of them a worker refuses.
  const worker = new Worker(script, { execArgv: [] });
  // Idle it does not keep the process alive; at work, the timer of the request's deadline does.
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
    end: () => void worker.terminate(),
  };
}
