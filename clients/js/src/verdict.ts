import { PouwError } from './errors.js';
import type { Refusal } from './offer.js';

/** Reasons for which the server gives another unit in place of one that was answered rightly. */
const TAKEN_BACK = ['withdrawn', 'token_expired', 'client_mismatch'];

/** Returns whether the server took a challenge back, so that the unit it gives instead may be solved. */
export function isTakenBack({ problem: { reason, unit } }: Refusal): boolean {
  return unit === undefined || TAKEN_BACK.includes(reason);
}

/**
 * Returns whether the response to an answer is a refusal that allows another attempt; false if it is none.
 *
 * @throws {@link PouwError} `refused`, `unexpected_response`.
 */
export function allowsMore(response: Response, refusal: Refusal | undefined, workUnitId: string): boolean {
  if (refusal !== undefined) {
    const { reason, detail } = refusal.problem;
    if (response.status === 429 && reason !== 'wrong_result') return true;
    const message = `The server refused the answer: ${detail}`;
    throw new PouwError('refused', message, { reason, response, workUnitId });
  }
  const html = response.headers.get('content-type')?.startsWith('text/html') ?? false;
  if (response.status === 403 || response.status === 429 || (response.status >= 400 && html)) {
    const message = `The answer got a response of status ${response.status} that is not from the limiter.`;
    throw new PouwError('unexpected_response', message, { response, workUnitId });
  }
  return false;
}
