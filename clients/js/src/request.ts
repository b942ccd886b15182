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
    this.#init = init;
    this.#fetch = fetcher;
    this.signal = init.signal ?? (isRequest(input) ? input.signal : undefined);
    this.url = isRequest(input) ? input.url : String(input);
    this.origin = originOf(this.url);
  }

  /** Sends it; as it is, or as the answer to a challenge. */
  send(signal?: AbortSignal, answer?: AnswerHeaders): Promise<Response> {
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
    return fetcher(input, init);
  }
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
