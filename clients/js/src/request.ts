import { PouwError } from './errors.js';
import { originOf, ownOrigin } from './place.js';
import type { FetchInput } from './types.js';

/** A request that can be sent more than once. */
export class Repeatable {
  /** The request's own signal. */
  readonly signal: AbortSignal | undefined;
  /** Absolute or relative, as it was given. */
  readonly url: string;
  /** What its limit is most likely counted by. */
  readonly origin: string;
  #input: FetchInput;
  #init: RequestInit;
  #fetch: typeof fetch;

  /** @throws {@link PouwError} `one_shot_body` for a stream, which could not be sent again. */
  constructor(input: FetchInput, init: RequestInit, fetcher: typeof fetch) {
    if (isOneShot(init.body)) {
      throw new PouwError(
        'one_shot_body',
        'The body is a stream, which can be sent only once; pass a Blob, bytes, text, FormData or a Request.',
      );
    }
    this.#input = input;
    // What the caller changes or uses up meanwhile (headers can be an iterator) does not change what is sent again.
    this.#init = init.headers === undefined ? { ...init } : { ...init, headers: new Headers(init.headers) };
    this.#fetch = fetcher;
    this.signal = init.signal ?? (isRequest(input) ? input.signal : undefined);
    this.url = isRequest(input) ? input.url : String(input);
    this.origin = originOf(this.url);
  }

  /** In capitals. */
  get method(): string {
    const { method = isRequest(this.#input) ? this.#input.method : 'GET' } = this.#init;
    return method.toUpperCase();
  }

  /** Whether redirects are followed. */
  get follows(): boolean {
    return this.#setting('redirect', 'follow') === 'follow';
  }

  /** Whether it has no headers but the simplest, and a response that cannot be read. */
  get isNoCors(): boolean {
    return this.#setting('mode', 'cors') === 'no-cors';
  }

  /** Whether it takes cookies of this origin along. Outside of pages there are none. */
  sendsCookies(origin: string): boolean {
    const own = ownOrigin();
    const credentials = this.#setting('credentials', 'same-origin');
    return own !== undefined && (credentials === 'include' || (credentials !== 'omit' && origin === own));
  }

  /** Whether a page may send it to another origin without asking that for permission first. */
  get isSimple(): boolean {
    if (!['GET', 'HEAD', 'POST'].includes(this.method)) return false;
    const headers = new Headers(
      this.#init.headers ?? (isRequest(this.#input) ? this.#input.headers : undefined),
    );
    return [...headers].every(([name, value]) =>
      name === 'content-type' ? SIMPLE_TYPE.test(value) : SIMPLE_HEADERS.includes(name),
    );
  }

  /**
   * Makes it ready to be sent, with these headers beside its own.
   *
   * @returns what sends it.
   * @throws what a `Request` throws whose body was used meanwhile; nothing has been sent then.
   */
  prepare(
    signal?: AbortSignal,
    more: Record<string, string> = {},
    redirect?: RequestRedirect,
  ): () => Promise<Response> {
    const input = isRequest(this.#input) ? this.#input.clone() : this.#input;
    const init: RequestInit = { ...this.#init };
    if (signal !== undefined) init.signal = signal;
    if (redirect !== undefined) init.redirect = redirect;
    const added = Object.entries(more);
    if (added.length > 0) {
      const headers = new Headers(init.headers ?? (isRequest(input) ? input.headers : undefined));
      for (const [name, value] of added) headers.set(name, value);
      init.headers = headers;
    }
    // Called without `this`: browsers refuse a fetch that is a method of something else.
    const fetcher = this.#fetch;
    return () => fetcher(input, init);
  }

  /** The request that a redirect leads to, by its status. */
  redirectedBy(status: number, url: string): Repeatable {
    const { method } = this;
    const asGet =
      status === 303 ? method !== 'HEAD' : (status === 301 || status === 302) && method === 'POST';
    if (asGet || method === 'GET' || method === 'HEAD') return this.redirectedTo(url);
    const headers = this.#headersTo(url, []);
    const given = isRequest(this.#input) ? this.#input : undefined;
    // Of the class that it was, with its body.
    const input = given && new (given.constructor as typeof Request)(url, given.clone());
    return new Repeatable(input ?? url, { ...this.#init, ...this.#own(), headers }, this.#fetch);
  }

  /**
   * The request that a redirect led to, as after a 303: GET (HEAD stays what it is) without body, and without
   * credentials in headers where it leads to another origin.
   */
  redirectedTo(url: string): Repeatable {
    const given = isRequest(this.#input) ? this.#input : undefined;
    const { body: _, ...kept } = this.#init;
    const headers = this.#headersTo(url, BODY_HEADERS);
    const method = this.method === 'HEAD' ? 'HEAD' : 'GET';
    const init: RequestInit = { ...(given && settingsOf(given)), ...kept, ...this.#own(), method, headers };
    return new Repeatable(url, init, this.#fetch);
  }

  /** Its headers, without these, and without credentials where they lead to another origin. */
  #headersTo(url: string, without: string[]): Headers {
    const headers = new Headers(
      this.#init.headers ?? (isRequest(this.#input) ? this.#input.headers : undefined),
    );
    const foreign = originOf(url) !== this.origin;
    for (const name of foreign ? [...without, ...CREDENTIALS] : without) headers.delete(name);
    return headers;
  }

  #own(): RequestInit {
    return this.signal === undefined ? {} : { signal: this.signal };
  }

  #setting(name: 'mode' | 'redirect' | 'credentials', usual: string): string {
    return this.#init[name] ?? (isRequest(this.#input) ? this.#input[name] : undefined) ?? usual;
  }
}

const SIMPLE_HEADERS = ['accept', 'accept-language', 'content-language', 'range'];
const SIMPLE_TYPE = /^(?:application\/x-www-form-urlencoded|multipart\/form-data|text\/plain)(?:;|$)/i;
const BODY_HEADERS = [
  'content-type',
  'content-length',
  'content-encoding',
  'content-language',
  'content-location',
];
const CREDENTIALS = ['authorization', 'proxy-authorization', 'cookie', 'host'];

/** What a `Request` says beside its address, method, headers and body. */
function settingsOf(request: Request): RequestInit {
  const { cache, credentials, integrity, keepalive, mode, redirect, referrer, referrerPolicy } = request;
  const all = { cache, credentials, integrity, keepalive, mode, redirect, referrer, referrerPolicy };
  // Other implementations do not have all of them.
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as RequestInit;
}

/** By what it can do: there is more than one class of requests, one for each frame and each implementation. */
function isRequest(input: FetchInput): input is Request {
  return typeof input === 'object' && 'clone' in input && 'url' in input;
}

function isOneShot(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return false;
  if (typeof ReadableStream === 'function' && body instanceof ReadableStream) return true;
  // Node takes iterables that come with time.
  return Symbol.asyncIterator in body;
}
