import { startWorker } from '#platform';
import { solverError, wasmWarning, workResult } from './outcome.js';
import { loadEngine } from './engine.js';
import { describe } from './errors.js';
import type { Hashes } from './hashing.js';
import { hashTask } from './solve.js';
import { abortable, monotonicMs } from './time.js';
import type { EngineChoice, PouwWarning, Progress, WorkResult, WorkUnit } from './types.js';
import type { Task } from './validate.js';
import { loadWasmModule } from './wasm-module.js';
import type { WorkerPort, WorkerReply } from './worker-port.js';

/** How long a worker may take to start before this thread does its work. */
const START_MS = 5_000;

/** Options of a {@link Solver}. */
export interface SolverOptions {
  engine: EngineChoice;
  /** False: hash on this thread, in slices. */
  worker: boolean;
  workerUrl?: string | URL | undefined;
  wasmUrl?: string | URL | undefined;
  onWarning(warning: PouwWarning): void;
}

/** How one unit is solved. */
export interface SolveOptions {
  onProgress(progress: Progress): void;
  signal: AbortSignal;
}

/** The worker could not do it; the thread that asked has to. */
class WorkerUnavailable extends Error {}

/** Solves one unit at a time, in a worker where there is one. */
export class Solver {
  #options: SolverOptions;
  #port: WorkerPort | undefined;
  #started = false;
  #module: Promise<WebAssembly.Module> | undefined;
  #warned = new Set<string>();
  #closed = false;
  /** No worker ever started: the next one would not either. */
  #refused = false;

  constructor(options: SolverOptions) {
    this.#options = options;
  }

  /** Hashes a unit that was found sound. */
  async solve(unit: WorkUnit, task: Task, options: SolveOptions): Promise<WorkResult> {
    const started = monotonicMs();
    try {
      const hashes = await abortable(this.#hashes(task, options), options.signal);
      return workResult(unit, hashes, monotonicMs() - started);
    } catch (error) {
      if (options.signal.aborted) throw options.signal.reason;
      throw solverError(error, unit);
    }
  }

  /** Ends the worker. */
  close(): void {
    this.#closed = true;
    if (this.#port !== undefined) this.#endWorker(this.#port);
  }

  async #hashes(task: Task, options: SolveOptions): Promise<Hashes> {
    if (this.#options.worker && !this.#refused) {
      try {
        return await this.#inWorker(task, options);
      } catch (error) {
        if (!(error instanceof WorkerUnavailable)) throw error;
        options.signal.throwIfAborted();
        this.#refused = !this.#started;
        this.#warn('worker_unavailable', {
          code: 'worker_unavailable',
          message:
            `pouw: the worker could not be started (${describe(error)}); this thread hashes in slices instead. ` +
            "Serve worker.js beside pouw.js, and allow worker-src 'self' in the Content-Security-Policy.",
        });
      }
    }
    const { engine, wasmError } = await loadEngine(this.#options.engine, () => this.#wasmModule());
    if (wasmError !== undefined) this.#warn('wasm', wasmWarning(wasmError));
    return hashTask(engine, task, options);
  }

  async #inWorker(task: Task, { onProgress, signal }: SolveOptions): Promise<Hashes> {
    const { engine } = this.#options;
    const wasm =
      engine === 'js'
        ? { refused: 'not requested' }
        : await this.#wasmModule().catch((error: unknown) => ({ refused: describe(error) }));
    signal.throwIfAborted();
    if (this.#closed) throw new Error('the client was closed');
    const port = this.#worker();
    let stop: ((error: unknown) => void) | undefined;
    const abort = () => stop?.(signal.reason);
    const timer = setTimeout(() => {
      if (!this.#started) stop?.(new WorkerUnavailable(`the worker sent no message within ${START_MS} ms`));
    }, START_MS);
    try {
      return await new Promise<Hashes>((resolve, reject) => {
        stop = reject;
        signal.addEventListener('abort', abort, { once: true });
        const onMessage = (message: WorkerReply) => {
          this.#started = true;
          if (message.kind === 'done') resolve(message.hashes);
          else if (message.kind === 'failed') reject(new Error(message.message));
          else if (message.kind === 'progress') onProgress(message.progress);
          else if (message.kind === 'wasm_refused') this.#warn('wasm', wasmWarning(message.message));
        };
        port.listen(onMessage, (error) => {
          // Also when it dies later, idle: the next unit gets a new one.
          if (this.#port === port) this.#port = undefined;
          reject(new WorkerUnavailable(describe(error)));
        });
        try {
          port.post({ task, engine, wasm });
        } catch (error) {
          reject(new WorkerUnavailable(describe(error)));
        }
      });
    } catch (error) {
      // Whatever it was busy with is of no use any more.
      this.#endWorker(port);
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }

  #worker(): WorkerPort {
    if (this.#port !== undefined) return this.#port;
    this.#started = false;
    try {
      return (this.#port = startWorker(this.#options.workerUrl));
    } catch (error) {
      throw new WorkerUnavailable(describe(error));
    }
  }

  #endWorker(port: WorkerPort): void {
    if (this.#port === port) this.#port = undefined;
    port.end();
  }

  /** The module, compiled once; after a failure the next unit tries again. */
  #wasmModule(): Promise<WebAssembly.Module> {
    const module = (this.#module ??= loadWasmModule(this.#options.wasmUrl));
    module.catch(() => (this.#module = undefined));
    return module;
  }

  /** Each kind of warning is given once. */
  #warn(kind: string, warning: PouwWarning): void {
    if (this.#warned.has(kind)) return;
    this.#warned.add(kind);
    this.#options.onWarning(warning);
  }
}
