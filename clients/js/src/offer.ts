import { PouwError } from './errors.js';
import type { MaxCost, PouwClientOptions } from './options.js';
import type { Problem } from './problem.js';
import { abortable, monotonicMs } from './time.js';
import type { WorkUnit } from './types.js';
import { validateUnit, type Task } from './validate.js';

/** A refusal of the limiter and the time of its arrival. */
export interface Refusal {
  response: Response;
  problem: Problem;
  /** On the monotonic clock. */
  receivedAt: number;
}

/**
 * Checks a unit before anything is hashed: it must be valid, belong to its response, not expire before its answer
 * counts, and cost no more than the caller allows.
 *
 * @throws {@link PouwError} `invalid_unit`, `too_expensive`.
 */
export function weigh(unit: WorkUnit, response: Response, maxCost: MaxCost): Task {
  const task = validateUnit(unit);
  if (!/^[\x21-\x7e]+$/.test(unit.challengeToken)) {
    throw invalid(
      'challengeToken',
      'Invalid challengeToken: expected visible ASCII characters only.',
      unit,
      response,
    );
  }
  // Across origins the header can be read only if the server exposes it.
  const token = response.headers.get('x-pouw-challenge');
  if (token !== null && token !== unit.challengeToken) {
    const message =
      'Invalid challengeToken: expected the token of the header X-PoUW-Challenge, found another.';
    throw invalid('challengeToken', message, unit, response);
  }
  if (unit.waitMs >= unit.ttlMs) {
    throw invalid(
      'waitMs',
      `Invalid waitMs: expected less than ttlMs, ${unit.ttlMs}, found ${unit.waitMs}.`,
      unit,
      response,
    );
  }
  const costs: [string, number, number | undefined][] = [
    ['bytes of data', task.data.length, maxCost.bytes],
    ['hashes', unit.nodeCount, maxCost.hashes],
    ['seconds to wait', unit.waitMs / 1000, maxCost.seconds],
  ];
  for (const [what, asked, allowed] of costs) {
    if (allowed === undefined || asked <= allowed) continue;
    const message = `The challenge takes ${asked} ${what}, but maxCost allows ${allowed}.`;
    throw new PouwError('too_expensive', message, { response, workUnitId: unit.id });
  }
  return task;
}

function invalid(member: string, message: string, { id }: WorkUnit, response: Response): PouwError {
  return new PouwError('invalid_unit', message, { member, response, workUnitId: id });
}

/** Returns whether the unit of a refusal has expired since its arrival. */
export function isStale({ problem, receivedAt }: Refusal): boolean {
  const ttlMs = problem.unit?.ttlMs;
  return typeof ttlMs === 'number' && ttlMs > 0 && monotonicMs() - receivedAt >= ttlMs;
}

/**
 * Calls `confirm`.
 *
 * @throws {@link PouwError} `declined`, if it does not return true.
 */
export async function confirmed(
  confirm: NonNullable<PouwClientOptions['confirm']>,
  unit: WorkUnit,
  url: string,
  signal: AbortSignal,
): Promise<void> {
  const asked = (async () => confirm(unit, { url, signal }))();
  let cause: unknown;
  const yes = await abortable(asked, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    cause = error;
    return false;
  });
  if (yes === true) return;
  throw new PouwError('declined', 'The confirm function declined the work.', { workUnitId: unit.id, cause });
}
