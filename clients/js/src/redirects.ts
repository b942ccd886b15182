import { discard } from './body.js';
import type { Repeatable } from './request.js';

/** As many redirects as `fetch` follows. */
export const REDIRECTS_MAX = 20;

/**
 * Returns where a response leads; undefined if it is no redirect.
 *
 * @throws TypeError if that is no address of HTTP; the response is discarded.
 */
export function redirectTarget(response: Response, request: Repeatable): string | undefined {
  const { status, headers, url } = response;
  const location = headers.get('location');
  if (![301, 302, 303, 307, 308].includes(status) || location === null) return undefined;
  const target = addressOf(location, url || request.url);
  if (target !== undefined && ['http:', 'https:'].includes(target.protocol)) return target.href;
  discard(response);
  throw new TypeError(
    `Failed to fetch ${request.url}: the header Location leads to "${location}", which is no http or https address.`,
  );
}

function addressOf(location: string, base: string): URL | undefined {
  try {
    return new URL(location, base);
  } catch {
    return undefined;
  }
}

/** The error of a request that is redirected too often. */
export function tooManyRedirects(url: string): TypeError {
  return new TypeError(`Failed to fetch ${url}: more than ${REDIRECTS_MAX} redirects.`);
}
