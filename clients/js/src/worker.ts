/** The worker of browsers: hashes what the page posts. Stands alone, without an import left when built. */
import { serve } from './worker-serve.js';
import type { WorkerReply, WorkerRequest } from './worker-port.js';

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<WorkerRequest>) => void) | null;
  postMessage(message: WorkerReply): void;
};
scope.onmessage = (event) => void serve(event.data, (message) => scope.postMessage(message));
scope.postMessage({ kind: 'ready' });
