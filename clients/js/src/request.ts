import { PouwError } from './errors.js';
import type { FetchInput } from './types.js';

/** Headers of an answer. */
export interface AnswerHeaders {
  token: string;
  result: string;
}

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

  /**
   * Makes it ready to be sent; as it is, or as the answer to a challenge.
   *
   * @returns what sends it.
   * @throws what a `Request` throws whose body was used meanwhile; nothing has been sent then.
   */
  prepare(signal?: AbortSignal, answer?: AnswerHeaders): () => Promise<Response> {
    const input = isRequest(this.#input) ? this.#input.clone() : this.#input;
    const init: RequestInit = { ...this.#init };
    if (signal !== undefined) init.signal = signal;
    if (answer !== undefined) {
      const headers = new Headers(init.headers ?? (isRequest(input) ? input.headers : undefined));
      headers.set('X-PoUW-Response', answer.token);
      headers.set('X-PoUW-Result', answer.result);
      init.headers = headers;
    }
    // Called without `this`: browsers refuse a fetch that is a method of something else.
    const fetcher = this.#fetch;
    return () => fetcher(input, init);
  }

  /**
   * The request that a redirect led to, as after a 303: GET (HEAD stays what it is) without body, and without
   * credentials in headers where it leads to another origin.
   */
  redirectedTo(url: string): Repeatable {
    const given = isRequest(this.#input) ? this.#input : undefined;
    const { body: _, ...kept } = this.#init;
    const headers = new Headers(kept.headers ?? given?.headers);
    const foreign = originOf(url) !== this.origin;
    for (const name of foreign ? [...BODY_HEADERS, ...CREDENTIALS] : BODY_HEADERS) headers.delete(name);
    const method = (kept.method ?? given?.method)?.toUpperCase() === 'HEAD' ? 'HEAD' : 'GET';
    const init: RequestInit = { ...(given && settingsOf(given)), ...kept, method, headers };
    if (this.signal !== undefined) init.signal = this.signal;
    return new Repeatable(url, init, this.#fetch);
  }
}

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

function originOf(url: string): string {
  try {
    const base = (globalThis as { location?: { href: string } }).location?.href;
    return new URL(url, base).origin;
  } catch {
    return '';
  }
}
