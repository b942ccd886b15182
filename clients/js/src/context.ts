import type { PouwEventDetails } from './events.js';
import type { Origins } from './origins.js';
import type { MaxCost, PouwClientOptions } from './options.js';
import type { Queue } from './queue.js';
import type { Solver } from './solver.js';

/** The parts of a client that its requests share. */
export interface ExchangeContext {
  solver: Solver;
  queue: Queue;
  origins: Origins;
  maxAttempts: number;
  maxCost: MaxCost;
  confirm: PouwClientOptions['confirm'];
  /** Waits for the responses to requests to the same origin, until the monotonic clock shows `atMs`. */
  gathered(atMs: number, signal: AbortSignal): Promise<void>;
  /** Whether later requests to the same origin have to wait for this one. */
  hold(on: boolean): void;
  tell<Name extends keyof PouwEventDetails>(name: Name, detail: PouwEventDetails[Name]): boolean;
}

/** Returns whether the request of a response was admitted by work. */
export function accepted(response: Response): boolean {
  return response.headers.get('x-pouw-accepted') === 'true';
}
