import { discard } from './body.js';
import { PouwError } from './errors.js';
import type { Origins } from './origins.js';
import type { Pass } from './pass.js';
import { answerHeaders, Passage } from './passage.js';
import { hasCookies, ownOrigin, removeCookie, setCookie, whole } from './place.js';
import { Repeatable } from './request.js';
import type { Answer, Sendable, Sent } from './sendable.js';
import type { StreamHeaders } from './stream-fetch.js';
import { monotonicMs } from './time.js';

/** How often a stream is opened while the same request without a stream is admitted. */
const OPENINGS_MAX = 2;

/** How a stream of one kind is opened. */
export interface StreamKind<S> {
  /** For messages. */
  name: 'EventSource' | 'WebSocket';
  /** Opens one with these headers. Undefined: it was refused, for a reason that is not known. */
  open(url: string, headers: StreamHeaders, signal: AbortSignal): Promise<S | undefined>;
  /** Returns whether one that was opened is open; else it may still connect. */
  isOpen(stream: S): boolean;
  /** Returns whether a response that is admitted shows that such a stream cannot be opened there. */
  isHopeless(response: Response): boolean;
}

/** What a stream needs beside its kind. */
export interface StreamContext {
  origins: Origins;
  fetch: typeof fetch;
  headers: Record<string, string>;
  /** False: requests do not say which units the client computes. */
  announce: boolean;
}

/** Without a word on units, the limiter takes a request for events alone for one that cannot bring an answer. */
const ACCEPT = { announced: 'text/event-stream', silent: 'text/event-stream, */*;q=0.1' };

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
  /** What asks for the challenge. It has the address of the stream, so it is judged by the same policy. */
  #asks: Repeatable;
  #challenge: Passage;
  /** It was refused just now: what the limiter says of that comes first. */
  #refused = false;

  /** @throws {@link PouwError} `unsupported`, if it leads to another origin than that of the page. */
  constructor(url: string, kind: StreamKind<S>, context: StreamContext) {
    [this.url, this.#kind, this.#context] = [url, kind, context];
    const accept = context.announce ? ACCEPT.announced : ACCEPT.silent;
    const headers = { ...context.headers, Accept: accept };
    const address = whole(url);
    address.protocol = address.protocol.replace(/^ws/, 'http');
    address.hash = '';
    this.#asks = new Repeatable(address.href, { headers, cache: 'no-store' }, context.fetch);
    this.#challenge = new Passage(this.#asks, context.origins, context.announce);
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
    const pass = this.#pass();
    const arrive = pass?.depart();
    pass?.enterCookie();
    try {
      const once: Record<string, string> =
        pass !== undefined && !pass.byCookie ? { 'X-PoUW-Pass': pass.name } : {};
      const opened = await this.#open(signal, once);
      this.#refused = opened === undefined;
      return opened;
    } finally {
      arrive?.();
    }
  }

  get hasPass(): boolean {
    return this.#pass() !== undefined;
  }

  /** The pass that it can be opened with: in a page only the cookie takes it along. */
  #pass(): Pass | undefined {
    const pass = this.#context.origins.pass(this.#asks);
    return ownOrigin() === undefined || pass?.mayBeCookie ? pass : undefined;
  }

  async ask(signal: AbortSignal): Promise<Sent> {
    for (let openings = 0; ; openings++) {
      if (!this.#refused && (await this.open(signal)) !== undefined) return this.#sent(isOpen());
      this.#refused = false;
      // By the pass too: only a refusal with work says that it is of no use.
      const { response, request, pass } = await this.#challenge.ask(signal);
      if (response.status === 429) {
        if (request !== this.#challenge) this.redirectedTo(request.url);
        return this.#sent(response, pass);
      }
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
        if (inPage) removeCookie('answer', cookieOf(answer));
      });
      // While it connects it is not known whether the answer counts.
      if (opened !== undefined) return isOpen(this.#kind.isOpen(opened) ? { 'X-PoUW-Accepted': 'true' } : {});
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

  async #open(signal: AbortSignal, once: Record<string, string>): Promise<S | undefined> {
    signal.throwIfAborted();
    const own = ownOrigin() === undefined ? this.#context.headers : {};
    // The address as it was given: relative ones and fragments are the stream's own matter.
    this.opened = await this.#kind.open(this.url, { own, once }, signal);
    return this.opened;
  }

  /** Puts an answer where the stream takes it along. */
  #leave(answer: Answer): void {
    const { expiresAt, unitId } = answer;
    const seconds = Math.max(1, Math.floor((expiresAt - monotonicMs()) / 1000));
    if (hasCookies() && setCookie('answer', cookieOf(answer), seconds)) return;
    const message =
      `The ${this.#kind.name} takes its answer along in a cookie, which ` +
      (hasCookies() ? 'the browser does not store.' : 'only a page can set: open it there, not in a worker.');
    throw new PouwError('unsupported', message, { workUnitId: unitId });
  }

  #sent(response: Response, pass?: Pass): Sent {
    return { response, request: this, pass };
  }
}

function cookieOf({ token, result }: Answer): string {
  return `${token}.${result}`;
}

/** A response for a stream that is open. */
function isOpen(headers: Record<string, string> = {}): Response {
  return new Response(null, { headers });
}
