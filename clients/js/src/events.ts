import type { PouwError } from './errors.js';
import type { Progress, PouwWarning, WorkResult, WorkUnit } from './types.js';

/** The `detail` of each event of a client. */
export interface PouwEventDetails {
  /**
   * A unit of work is about to be solved for a request to `url`. Its answer counts when the server's minimum wait is
   * over, which is after this many milliseconds.
   */
  challenge: { unit: WorkUnit; url: string; milliseconds: number };
  /** Progress of the hashing. */
  progress: Progress & { unit: WorkUnit };
  /** The unit is solved; the answer is sent when the server's minimum wait is over. */
  solved: { unit: WorkUnit; result: WorkResult };
  /** The server has no work for a request, or cannot process its answer yet; it is sent again after this time. */
  waiting: { reason: string; milliseconds: number; url: string };
  /**
   * The server accepted the answer. The credit is in microjoules, if the server's header can be read. After a redirect
   * the response is that of the next address, which may have refused the used answer.
   */
  accepted: { workUnitId: string; microJoules: number | undefined; response: Response };
  /** A request over the limit failed. */
  failed: { error: unknown; url: string };
  /** Hashing is slower than it could be. `preventDefault()` keeps it off the console. */
  warning: PouwWarning;
}

/** An event of a client. */
export type PouwEvent<Name extends keyof PouwEventDetails> = CustomEvent<PouwEventDetails[Name]>;

/** A listener for an event of a client. */
export type PouwListener<Name extends keyof PouwEventDetails> =
  ((event: PouwEvent<Name>) => void) | { handleEvent(event: PouwEvent<Name>): void };

/** Re-exported for the documentation of `failed`. */
export type { PouwError };
