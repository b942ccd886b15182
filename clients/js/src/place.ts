/** What differs between a page, a worker of a page, and Node. */

interface Place {
  location?: { href: string; origin: string; protocol: string };
  document?: { cookie: string };
}

const place = globalThis as unknown as Place;

/** Returns the origin of the page or of its worker; undefined elsewhere. */
export function ownOrigin(): string | undefined {
  return place.location?.origin;
}

/** Returns an address as a whole; it may be relative to that of the page. */
export function whole(url: string | URL): URL {
  return new URL(url, place.location?.href);
}

/** Returns the origin of an address; empty if it is none. */
export function originOf(url: string): string {
  try {
    return whole(url).origin;
  } catch {
    return '';
  }
}

/** The cookies that scripts set: an answer for the next stream, and the name of a pass. */
export type CookieKind = 'answer' | 'pass';

/**
 * Sets a cookie for the whole host. Over TLS it has a name that no other site can set.
 *
 * @returns false if there is nothing to keep it: in workers, in Node, or if the browser refuses it.
 */
export function setCookie(kind: CookieKind, value: string, seconds: number): boolean {
  const { document, location } = place;
  if (document === undefined) return false;
  const secure = location?.protocol === 'https:' ? '; Secure' : '';
  try {
    document.cookie = `${nameOf(kind)}=${value}; Path=/; Max-Age=${seconds}; SameSite=Strict${secure}`;
  } catch {
    // A sandboxed frame refuses with an error.
    return false;
  }
  return hasCookie(kind, value);
}

/** Returns whether a cookie has this value. */
export function hasCookie(kind: CookieKind, value: string): boolean {
  try {
    return place.document?.cookie.split('; ').includes(`${nameOf(kind)}=${value}`) ?? false;
  } catch {
    return false;
  }
}

/** Returns whether there is a cookie of this kind, whatever its value. */
export function keepsCookie(kind: CookieKind): boolean {
  try {
    return place.document?.cookie.split('; ').some((pair) => pair.startsWith(`${nameOf(kind)}=`)) ?? false;
  } catch {
    return false;
  }
}

/** Removes a cookie that a script has set, if it still has this value: another tab may have set another. */
export function removeCookie(kind: CookieKind, value: string): void {
  if (hasCookie(kind, value)) setCookie(kind, '', 0);
}

function nameOf(kind: CookieKind): string {
  return `${place.location?.protocol === 'https:' ? '__Host-' : ''}pouw-${kind}`;
}

/** Returns whether a script can set cookies. */
export function hasCookies(): boolean {
  return typeof place.document?.cookie === 'string';
}
