import type { EngineChoice, WorkUnit } from './types.js';

/** The most that one challenge may cost. Absent members are not limited. */
export interface MaxCost {
  /** Bytes of data to hash. */
  bytes?: number;
  /** Hashes to compute. */
  hashes?: number;
  /** Seconds that the server makes the client wait. */
  seconds?: number;
}

/** Options of `createPouwClient`. All of them can be left out. */
export interface PouwClientOptions {
  /** Milliseconds from the first 429, or from queueing, until a request must be through; default 60 000. */
  deadlineMs?: number;
  /** The most times one request is sent, the first included; default 8. */
  maxAttempts?: number;
  /** The most that one challenge may cost; others are rejected as `too_expensive`. */
  maxCost?: MaxCost;
  /** Called before a unit is solved; anything but true is `declined`. It must not wait for a fetch of this client. */
  confirm?: (unit: WorkUnit, about: { url: string; signal: AbortSignal }) => boolean | Promise<boolean>;
  /** The implementation that hashes; default `auto`. */
  engine?: EngineChoice;
  /** False: hash on this thread in slices, without a worker; default true. */
  worker?: boolean;
  /** Address of the worker's script, if not beside this file. */
  workerUrl?: string | URL;
  /** Address of the WebAssembly module, if not beside this file. */
  wasmUrl?: string | URL;
  /** True: no warnings on the console; default false. */
  quiet?: boolean;
  /** The function that sends requests; default the global `fetch`. Its responses may be of any class. */
  fetch?: typeof fetch;
}
