import type { PouwError } from './errors.js';
import type { Progress, PouwWarning, WorkResult, WorkUnit } from './types.js';

/** What the `detail` of each event of a client holds. */
export interface PouwEventDetails {
  /** A unit of work is about to be solved for a request to `url`. */
  challenge: { unit: WorkUnit; url: string };
  /** Nodes were hashed. */
  progress: Progress & { unit: WorkUnit };
  /** The unit is solved; the answer is sent when the server's wait is over. */
  solved: { unit: WorkUnit; result: WorkResult };
  /** The server has nothing to solve for a request now: it is sent again after so long, on its own. */
  waiting: { reason: string; milliseconds: number; url: string };
  /**
   * The server took the answer; the credit is in microjoules, if the server's header can be read. After a redirect the
   * response is that of the next address, which may have refused the used answer.
   */
  accepted: { workUnitId: string; microJoules: number | undefined; response: Response };
  /** A request that met a limit did not get through. */
  failed: { error: unknown; url: string };
  /** Something works, but slower than it could. `preventDefault()` keeps it off the console. */
  warning: PouwWarning;
}

/** An event of a client. */
export type PouwEvent<Name extends keyof PouwEventDetails> = CustomEvent<PouwEventDetails[Name]>;

/** Listener of an event of a client. */
export type PouwListener<Name extends keyof PouwEventDetails> =
  ((event: PouwEvent<Name>) => void) | { handleEvent(event: PouwEvent<Name>): void };

/** Re-exported for the documentation of `failed`. */
export type { PouwError };
