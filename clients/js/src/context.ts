import type { MaxCost, PouwClientOptions } from './client.js';
import type { PouwEventDetails } from './events.js';
import type { Gathering } from './gathering.js';
import type { Queue } from './queue.js';
import type { Solver } from './solver.js';

/** What the client lends to each request. */
export interface PassageContext {
  solver: Solver;
  queue: Queue;
  gathering: Gathering;
  maxAttempts: number;
  maxCost: MaxCost;
  confirm: PouwClientOptions['confirm'];
  tell<Name extends keyof PouwEventDetails>(name: Name, detail: PouwEventDetails[Name]): boolean;
}

/** Whether a response says that it was let through for work. */
export function accepted(response: Response): boolean {
  return response.headers.get('x-pouw-accepted') === 'true';
}
