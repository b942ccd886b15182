import type { Repeatable } from './request.js';

/** As many redirects as `fetch` follows. */
export const REDIRECTS_MAX = 20;

/** Returns where a response leads; undefined if it is no redirect. */
export function redirectTarget({ status, headers, url }: Response, request: Repeatable): string | undefined {
  const location = headers.get('location');
  if (![301, 302, 303, 307, 308].includes(status) || location === null) return undefined;
  return new URL(location, url || request.url).href;
}

/** The error of a request that is redirected too often. */
export function tooManyRedirects(url: string): TypeError {
  return new TypeError(`Failed to fetch ${url}: more than ${REDIRECTS_MAX} redirects.`);
}
