import { PouwError } from './errors.js';
import type { PouwEventDetails, PouwListener } from './events.js';
import { Gatherings } from './gathering.js';
import { Exchange } from './exchange.js';
import type { Refusal } from './offer.js';
import { Origins } from './origins.js';
import { type Adopt, eventSourceKind, PouwEventSource } from './event-source.js';
import type { EventSourceOptions, PouwClientOptions, WebSocketOptions } from './options.js';
import { Passage } from './passage.js';
import { readProblem } from './problem.js';
import { Queue } from './queue.js';
import { Repeatable } from './request.js';
import { Scope } from './scope.js';
import type { Sendable, Sent } from './sendable.js';
import { webSocketKind } from './sockets.js';
import { Solver } from './solver.js';
import { StreamRequest, type StreamContext } from './stream.js';
import { monotonicMs } from './time.js';
import type { AnyListener, FetchInput, ListenerOptions } from './types.js';

const DEADLINE_MS = 60_000;
const MAX_ATTEMPTS = 8;

/**
 * Sends requests. If one is over the limit, solves the work in the 429 and sends it again. Solves one challenge at a
 * time; requests to the same origin wait meanwhile. Made by {@link createPouwClient}.
 */
export class PouwClient extends EventTarget {
  #options: PouwClientOptions;
  #solver: Solver;
  #queue = new Queue();
  #scopes = new Set<Scope>();
  #limited = new Map<string, number>();
  #gatherings = new Gatherings();
  #origins: Origins;
  #closed = false;

  constructor(options: PouwClientOptions = {}) {
    super();
    this.#options = options;
    this.#origins = new Origins(options.passes ?? true);
    this.#solver = new Solver({
      engine: options.engine ?? 'auto',
      worker: options.worker ?? true,
      workerUrl: options.workerUrl,
      wasmUrl: options.wasmUrl,
      onWarning: (warning) => {
        const heard = this.#tell('warning', warning);
        if (heard && !options.quiet) console.warn(warning.message);
      },
    });
  }

  /**
   * Like the global `fetch`, but solves a 429 with work. Responses that are not the limiter's are returned unchanged.
   *
   * @throws {@link PouwError} if the request does not get past the limiter; the reason of the request's own signal;
   * the error of `fetch` if the request could not be sent.
   */
  fetch = async (input: FetchInput, init: RequestInit = {}): Promise<Response> => {
    if (this.#closed) throw closedError();
    const { fetch: fetcher = fetch, announce = true } = this.#options;
    const request = new Passage(new Repeatable(input, init, fetcher), this.#origins, announce);
    if (this.#limited.has(request.origin)) return this.#exchange(request);
    const { turns } = this.#queue;
    const arrive = this.#gatherings.depart(request.origin);
    try {
      const sent = await request.ask();
      if (sent.response.status !== 429) return sent.response;
      return await this.#exchange(sent.request, { ...sent, receivedAt: monotonicMs() }, turns, arrive);
    } finally {
      arrive();
    }
  };

  /**
   * Opens a `WebSocket` that the limit lets through. It is the platform's own object, and open; like any other it ends
   * with its connection.
   *
   * @throws {@link PouwError} if it does not get past the limiter or cannot be opened; the reason of the signal; what
   * the constructor throws.
   */
  async webSocket(
    url: string | URL,
    protocols: string | string[] = [],
    options: WebSocketOptions = {},
  ): Promise<WebSocket> {
    const kind = webSocketKind([protocols].flat(), options.open);
    return this.#open(new StreamRequest(String(url), kind, this.#streamContext(options)), options.signal);
  }

  /**
   * Opens an event stream that the limit lets through, also when it connects again. It can be used like an
   * `EventSource`.
   *
   * @throws {@link PouwError} `unsupported` for another origin than that of the page.
   */
  eventSource(url: string | URL, options: EventSourceOptions = {}): PouwEventSource {
    const { withCredentials = false, resume = (url) => url, open, signal } = options;
    const context = this.#streamContext(options);
    const request = (lastEventId: string, adopt: Adopt) => {
      const address = lastEventId === '' ? url : resume(String(url), lastEventId);
      const kind = eventSourceKind(withCredentials, adopt, context.fetch, open);
      return new StreamRequest(String(address), kind, context);
    };
    // For its error, at once.
    request('', () => {});
    const opening = (id: string, adopt: Adopt, signal: AbortSignal) => this.#open(request(id, adopt), signal);
    const { deadlineMs = DEADLINE_MS } = this.#options;
    return new PouwEventSource(String(url), withCredentials, opening, deadlineMs, signal);
  }

  /** Adds a listener; see {@link PouwEventDetails} for the `detail` of each event. */
  override addEventListener<Name extends keyof PouwEventDetails>(
    type: Name,
    listener: PouwListener<Name> | null,
    options?: ListenerOptions,
  ): void;
  override addEventListener(type: string, listener: AnyListener, options?: ListenerOptions): void;
  override addEventListener(type: string, listener: unknown, options?: ListenerOptions): void {
    super.addEventListener(type, listener as AnyListener, options);
  }

  /** Removes a listener. */
  override removeEventListener<Name extends keyof PouwEventDetails>(
    type: Name,
    listener: PouwListener<Name> | null,
    options?: ListenerOptions,
  ): void;
  override removeEventListener(type: string, listener: AnyListener, options?: ListenerOptions): void;
  override removeEventListener(type: string, listener: unknown, options?: ListenerOptions): void {
    super.removeEventListener(type, listener as AnyListener, options);
  }

  /** Ends the worker and rejects open requests as `closed`. Responses already returned stay readable. */
  close(): void {
    this.#closed = true;
    for (const scope of this.#scopes) scope.end(closedError());
    this.#solver.close();
  }

  #streamContext({ headers = {} }: { headers?: Record<string, string> }): StreamContext {
    const { fetch: fetcher = fetch, announce = true } = this.#options;
    return { origins: this.#origins, fetch: fetcher, headers, announce };
  }

  /** Opens a stream; without the limiter's help if that is not needed. The deadline is that of both. */
  async #open<S>(stream: StreamRequest<S>, signal: AbortSignal | undefined): Promise<S> {
    if (this.#closed) throw closedError();
    const scope = this.#scope(signal);
    if (!this.#limited.has(stream.origin)) {
      let goesOn = false;
      try {
        const opened = await stream.open(scope.signal);
        if (opened !== undefined) return opened;
        goesOn = true;
      } finally {
        if (!goesOn) this.#end(scope);
      }
    }
    const response = await this.#exchange(stream, undefined, undefined, undefined, scope);
    if (stream.opened !== undefined) return stream.opened;
    const message = `The stream could not be opened; as a request it gets status ${response.status}.`;
    throw new PouwError('not_opened', message, { response });
  }

  #scope(signal: AbortSignal | undefined): Scope {
    const scope = new Scope(this.#options.deadlineMs ?? DEADLINE_MS, signal);
    this.#scopes.add(scope);
    return scope;
  }

  #end(scope: Scope): void {
    scope.done();
    this.#scopes.delete(scope);
  }

  /** Runs the exchange of a request, from its first 429 on; `turns` had ended when it was sent. */
  async #exchange(
    request: Sendable,
    first?: Sent & { receivedAt: number },
    turns = 0,
    arrive = () => {},
    scope?: Scope,
  ): Promise<Response> {
    if (this.#closed) throw closedError();
    const { maxAttempts = MAX_ATTEMPTS, maxCost = {}, confirm } = this.#options;
    scope ??= this.#scope(request.signal);
    const { origin } = request;
    const hold = this.#holder(origin);
    hold(true);
    try {
      let refusal: Refusal | undefined;
      if (first !== undefined) {
        const problem = await readProblem(first.response, scope.signal);
        if (problem === undefined) return first.response;
        this.#origins.refused(request.origin, first.response, problem.unit !== undefined, first.pass);
        refusal = { ...first, problem };
      }
      const exchange = new Exchange(request, scope, {
        solver: this.#solver,
        queue: this.#queue,
        origins: this.#origins,
        gathered: (atMs, signal) => this.#gatherings.complete(origin, atMs, signal),
        maxAttempts,
        maxCost,
        confirm,
        hold,
        tell: (name, detail) => this.#tell(name, detail),
      });
      return await exchange.run(refusal, turns, arrive);
    } catch (error) {
      // Old platforms reject with another error than the signal's reason.
      const told = scope.signal.aborted && !(error instanceof PouwError) ? scope.signal.reason : error;
      this.#tell('failed', { error: told, url: request.url });
      throw told;
    } finally {
      this.#end(scope);
      hold(false);
    }
  }

  /** Returns what says whether one exchange makes later requests to the same origin wait. */
  #holder(origin: string): (on: boolean) => void {
    let held = false;
    return (on) => {
      if (on !== held) this.#count(origin, on ? 1 : -1);
      held = on;
    };
  }

  #count(origin: string, change: number): void {
    const count = (this.#limited.get(origin) ?? 0) + change;
    if (count > 0) this.#limited.set(origin, count);
    else this.#limited.delete(origin);
  }

  #tell<Name extends keyof PouwEventDetails>(name: Name, detail: PouwEventDetails[Name]): boolean {
    return this.dispatchEvent(new CustomEvent(name, { detail, cancelable: name === 'warning' }));
  }
}

function closedError(): PouwError {
  return new PouwError('closed', 'The client was closed.');
}

/** Creates a client. Close it when it is no longer needed, to end its worker. */
export function createPouwClient(options: PouwClientOptions = {}): PouwClient {
  return new PouwClient(options);
}
