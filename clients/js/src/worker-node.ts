/** The worker of Node: hashes what the main thread posts. */
import { parentPort } from 'node:worker_threads';
import { serve } from './worker-serve.js';
import type { WorkerReply, WorkerRequest } from './worker-port.js';

const reply = (message: WorkerReply) => parentPort?.postMessage(message);
parentPort?.on('message', (request: WorkerRequest) => void serve(request, reply));
reply({ kind: 'ready' });
