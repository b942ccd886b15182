import { discard, readText } from './body.js';
import { MAX_PROBLEM_BYTES } from './limits.js';
import { abortable } from './time.js';
import type { WorkUnit } from './types.js';

/** The reasons of the protocol. */
const REASONS = new Set(
  (
    'work_required no_work cannot_answer degraded exempt budget ceiling crowded too_early wrong_result token_expired withdrawn ' +
    'try_again token_invalid client_mismatch policy_mismatch token_replayed malformed too_large unavailable'
  ).split(' '),
);

/** A refusal of the limiter. */
export interface Problem {
  /** The reason. */
  reason: string;
  /** The explanation. */
  detail: string;
  /** A unit of work, not checked yet. */
  unit?: WorkUnit;
}

/**
 * Reads a refusal of the limiter from a copy of the response, whose own body stays unread. `undefined` for everything
 * else: other media types, other problems, too much text, text that is not JSON.
 *
 * @throws the signal's reason, at once even if the body stalls; the response is then discarded.
 */
export async function readProblem(response: Response, signal: AbortSignal): Promise<Problem | undefined> {
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/problem+json') return undefined;
  const text = await abortable(readText(response.clone(), MAX_PROBLEM_BYTES, signal), signal).catch(
    (error: unknown) => {
      // The copy alone does not end the transfer.
      discard(response);
      throw error;
    },
  );
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { reason, detail, workUnit } = value as Record<string, unknown>;
  if (typeof reason !== 'string') return undefined;
  // A reason of a later version is accepted if it has work.
  if (!REASONS.has(reason) && typeof workUnit !== 'object') return undefined;
  const problem: Problem = { reason, detail: typeof detail === 'string' ? detail : reason };
  if (typeof workUnit === 'object' && workUnit !== null) problem.unit = workUnit as WorkUnit;
  return problem;
}

/**
 * Reads `Retry-After` in milliseconds: until the same request is let through without work, or the same answer may be sent
 * again. The limiter sends whole seconds; dates are ignored, clocks are never compared.
 */
export function retryAfterMs(response: Response): number {
  const text = response.headers.get('retry-after') ?? '';
  return /^\d{1,9}$/.test(text) ? Number(text) * 1000 : DEFAULT_RETRY_MS;
}

const DEFAULT_RETRY_MS = 1_000;
