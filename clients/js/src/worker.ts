/** The worker of browsers: hashes what the page posts. The built file has no imports. */
import { serve } from './worker-serve.js';
import type { WorkerReply, WorkerRequest } from './worker-port.js';

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<WorkerRequest>) => void) | null;
  postMessage(message: WorkerReply): void;
};
scope.onmessage = (event) => void serve(event.data, (message) => scope.postMessage(message));
scope.postMessage({ kind: 'ready' });
