import { discard } from './body.js';
import { PouwError } from './errors.js';
import type { Origins, Pass } from './origins.js';
import { ABILITIES, answerHeaders } from './passage.js';
import { hasCookies, ownOrigin, removeCookie, setCookie, whole } from './place.js';
import { Repeatable } from './request.js';
import type { Answer, Sendable, Sent } from './sendable.js';
import { monotonicMs } from './time.js';

/** How often a stream is opened while the same request without a stream is admitted. */
const OPENINGS_MAX = 2;

/** How a stream of one kind is opened. */
export interface StreamKind<S> {
  /** For messages. */
  name: 'EventSource' | 'WebSocket';
  /** Opens one with these headers. Undefined: it was refused, for a reason that is not known. */
  open(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<S | undefined>;
  /** Returns whether a response that is admitted shows that such a stream cannot be opened there. */
  isHopeless(response: Response): boolean;
}

/** What a stream needs beside its kind. */
export interface StreamContext {
  origins: Origins;
  fetch: typeof fetch;
  headers: Record<string, string>;
}

/**
 * A stream that is to be opened. A script neither sees why one was refused nor can it add headers, so the challenge is
 * fetched from the same address, and in a page the answer goes along in a cookie.
 */
export class StreamRequest<S> implements Sendable {
  readonly blind = true;
  readonly signal = undefined;
  readonly url: string;
  readonly origin: string;
  /** The stream, once it is open. */
  opened: S | undefined;
  #kind: StreamKind<S>;
  #context: StreamContext;
  #challenge: Repeatable;
  /** It was refused just now: what the limiter says of that comes first. */
  #refused = false;

  /** @throws {@link PouwError} `unsupported`, if it leads to another origin than that of the page. */
  constructor(url: string, kind: StreamKind<S>, context: StreamContext) {
    [this.url, this.#kind, this.#context] = [url, kind, context];
    const headers = { ...context.headers, Accept: 'text/event-stream', ...ABILITIES };
    const address = whole(url);
    address.protocol = address.protocol.replace(/^ws/, 'http');
    address.hash = '';
    this.#challenge = new Repeatable(address.href, { headers, cache: 'no-store' }, context.fetch);
    this.origin = address.origin;
    const own = ownOrigin();
    if (own === undefined || own === this.origin) return;
    const message =
      `The ${kind.name} of ${this.origin} cannot be opened through its limit from a page of ${own}: ` +
      'the answer is in a cookie, which a page can set for its own origin only.';
    throw new PouwError('unsupported', message);
  }

  /** Opens it without an answer. Undefined: it was refused. */
  async open(signal: AbortSignal): Promise<S | undefined> {
    const pass = this.#context.origins.pass(this.origin);
    const opened = await this.#open(signal, pass && !pass.byCookie ? { 'X-PoUW-Pass': pass.name } : {}, pass);
    this.#refused = opened === undefined;
    return opened;
  }

  get hasPass(): boolean {
    return this.#context.origins.pass(this.origin) !== undefined;
  }

  async ask(signal: AbortSignal): Promise<Sent> {
    for (let openings = 0; ; openings++) {
      if (!this.#refused && (await this.open(signal)) !== undefined) return this.#sent(isOpen());
      this.#refused = false;
      const response = await this.#challenge.prepare(signal)();
      if (response.status === 429) return this.#sent(response);
      // Admitted, or not the limiter's.
      discard(response);
      if (openings < OPENINGS_MAX && !this.#kind.isHopeless(response)) continue;
      const message = `The ${this.#kind.name} could not be opened; as a request it gets status ${response.status}.`;
      throw new PouwError('not_opened', message, { response });
    }
  }

  answer(signal: AbortSignal, answer: Answer): () => Promise<Response> {
    const inPage = ownOrigin() !== undefined;
    if (inPage) this.#leave(answer);
    return async () => {
      const opened = await this.#open(signal, inPage ? {} : answerHeaders(answer)).finally(() => {
        // What asks for the challenge again must not use the answer up.
        if (inPage) removeCookie('answer');
      });
      if (opened !== undefined) return isOpen({ 'X-PoUW-Accepted': 'true' });
      this.#refused = true;
      return (await this.ask(signal)).response;
    };
  }

  redirectedTo(url: string): Sendable {
    // The stream is redirected by itself, and the limit at the new address counts for the same origin or not at all.
    if (whole(url).origin === this.origin) return this;
    const message = `The ${this.#kind.name} of ${this.origin} is redirected to ${url}, where it is over a limit.`;
    throw new PouwError('unsupported', message);
  }

  async #open(signal: AbortSignal, more: Record<string, string>, pass?: Pass): Promise<S | undefined> {
    signal.throwIfAborted();
    const arrive = pass?.depart();
    // The address as it was given: relative ones and fragments are the stream's own matter.
    const headers = ownOrigin() === undefined ? { ...this.#context.headers, ...more } : {};
    try {
      this.opened = await this.#kind.open(this.url, headers, signal);
    } finally {
      arrive?.();
    }
    if (this.opened === undefined && pass !== undefined) this.#context.origins.forget(this.origin, pass);
    return this.opened;
  }

  /** Puts an answer where the stream takes it along. */
  #leave({ token, result, expiresAt, unitId }: Answer): void {
    const seconds = Math.max(1, Math.floor((expiresAt - monotonicMs()) / 1000));
    if (hasCookies() && setCookie('answer', `${token}.${result}`, seconds)) return;
    const message =
      `The ${this.#kind.name} takes its answer along in a cookie, which ` +
      (hasCookies() ? 'the browser does not store.' : 'only a page can set: open it there, not in a worker.');
    throw new PouwError('unsupported', message, { workUnitId: unitId });
  }

  #sent(response: Response): Sent {
    return { response, request: this, pass: undefined };
  }
}

/** A response for a stream that is open. */
function isOpen(headers: Record<string, string> = {}): Response {
  return new Response(null, { headers });
}
