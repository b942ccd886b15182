import { loadEngine } from './engine.js';
import { describe } from './errors.js';
import { hashTask } from './solve.js';
import type { WorkerReply, WorkerRequest } from './worker-port.js';

/** Handles one request. Never rejects. */
export async function serve(request: WorkerRequest, reply: (message: WorkerReply) => void): Promise<void> {
  try {
    const { wasm } = request;
    const { engine, wasmError } = await loadEngine(request.engine, async () => {
      if (wasm instanceof WebAssembly.Module) return wasm;
      throw new Error(wasm.refused);
    });
    if (wasmError !== undefined) reply({ kind: 'wasm_refused', message: describe(wasmError) });
    const onProgress = (progress: { done: number; total: number }) => reply({ kind: 'progress', progress });
    reply({ kind: 'done', hashes: await hashTask(engine, request.task, { onProgress }) });
  } catch (error) {
    reply({ kind: 'failed', message: describe(error) });
  }
}
