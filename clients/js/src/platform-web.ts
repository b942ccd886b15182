import type { WorkerPort } from './worker-port.js';

/** How long the module may take to come before JavaScript takes over. */
const FETCH_MS = 10_000;

/** Fetches and compiles a module. The media type the server gives it does not matter. */
export async function compileFile(url: string | URL): Promise<WebAssembly.Module> {
  const response = await fetch(url, { credentials: 'same-origin', signal: AbortSignal.timeout(FETCH_MS) });
  if (!response.ok) throw new Error(`${url} returned status ${response.status}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

/**
 * Starts a worker of this package; at `url`, or beside this file.
 *
 * @throws when workers are refused.
 */
export function startWorker(url?: string | URL): WorkerPort {
  const worker =
    url === undefined
      ? new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })
      : new Worker(url, { type: 'module' });
  return {
    post: (message) => worker.postMessage(message),
    listen(onMessage, onError) {
      worker.onmessage = (event) => onMessage(event.data);
      worker.onmessageerror = () => onError(new Error('a message could not be read'));
      worker.onerror = (event) => {
        event.preventDefault();
        onError(new Error(event.message || 'the worker could not be started'));
      };
    },
    end: () => worker.terminate(),
  };
}
