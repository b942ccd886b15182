import { discard } from './body.js';
import { ownOrigin } from './place.js';
import { REDIRECTS_MAX, redirectTarget, tooManyRedirects } from './redirects.js';
import { Repeatable } from './request.js';

/** The headers of a stream. */
export interface StreamHeaders {
  /** The caller's, for every connection. */
  own: Record<string, string>;
  /** An answer or a pass, for one connection. */
  once: Record<string, string>;
}

/**
 * Makes a `fetch` for classes of event streams that take one. It adds the headers: those of one connection once, since
 * such a class connects again by itself, and not to another origin. `fetch` would take them along with a redirect, so
 * redirects are followed here. In a page there are no headers, and `fetch` follows.
 */
export function streamFetch(fetcher: typeof fetch, { own, once }: StreamHeaders): typeof fetch {
  let unused = once;
  return async (input, init = {}) => {
    if (ownOrigin() !== undefined) return fetcher(input, init);
    const headers = new Headers(
      init.headers ?? (typeof input === 'object' && 'headers' in input ? input.headers : {}),
    );
    for (const [name, value] of Object.entries(own)) headers.set(name, value);
    let [request, more] = [new Repeatable(input, { ...init, headers }, fetcher), unused];
    unused = {};
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
      const response = await request.prepare(undefined, more, request.follows ? 'manual' : undefined)();
      const target = request.follows ? redirectTarget(response, request) : undefined;
      if (target === undefined) return response;
      discard(response);
      const next = request.redirectedBy(response.status, target);
      if (next.origin !== request.origin) more = {};
      request = next;
    }
    throw tooManyRedirects(request.url);
  };
}
