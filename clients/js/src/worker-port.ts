import type { Hashes } from './hashing.js';
import type { EngineChoice, Progress } from './types.js';
import type { Task } from './validate.js';

/** What the page asks a worker to do. */
export interface WorkerRequest {
  /** The unit's work. */
  task: Task;
  /** Which implementation hashes. */
  engine: EngineChoice;
  /** The compiled module, or why there is none. */
  wasm: WebAssembly.Module | { refused: string };
}

/** What a worker says. */
export type WorkerReply =
  /** It runs. */
  | { kind: 'ready' }
  | { kind: 'progress'; progress: Progress }
  | { kind: 'wasm_refused'; message: string }
  | { kind: 'done'; hashes: Hashes }
  | { kind: 'failed'; message: string };

/** A worker, whatever the platform calls it. */
export interface WorkerPort {
  /** Sends a message. */
  post(message: WorkerRequest): void;
  /** Sets the listeners; an error means that nothing more will come. */
  listen(onMessage: (message: WorkerReply) => void, onError: (error: unknown) => void): void;
  /** Ends it at once. */
  end(): void;
}
