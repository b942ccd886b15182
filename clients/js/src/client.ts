import { PouwError } from './errors.js';
import type { PouwEventDetails, PouwListener } from './events.js';
import { Gathering } from './gathering.js';
import type { Refusal } from './offer.js';
import { Exchange } from './exchange.js';
import type { PouwClientOptions } from './options.js';
import { readProblem } from './problem.js';
import { Queue } from './queue.js';
import { Repeatable } from './request.js';
import { Scope } from './scope.js';
import { Solver } from './solver.js';
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
  #gatherings = new Map<string, Gathering>();
  #closed = false;

  constructor(options: PouwClientOptions = {}) {
    super();
    this.#options = options;
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
    const request = new Repeatable(input, init, this.#options.fetch ?? fetch);
    if (this.#limited.has(request.origin)) return this.#exchange(request);
    const { turns } = this.#queue;
    const arrive = this.#gathering(request.origin).depart();
    try {
      const response = await request.prepare()();
      if (response.status !== 429) return response;
      return await this.#exchange(request, { response, receivedAt: monotonicMs() }, turns, arrive);
    } finally {
      arrive();
    }
  };

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

  #gathering(origin: string): Gathering {
    const known = this.#gatherings.get(origin) ?? new Gathering();
    this.#gatherings.set(origin, known);
    return known;
  }

  /** Runs the exchange of a request, from its first 429 on; `turns` had ended when it was sent. */
  async #exchange(
    request: Repeatable,
    first?: Omit<Refusal, 'problem'>,
    turns = 0,
    arrive = () => {},
  ): Promise<Response> {
    if (this.#closed) throw closedError();
    const { deadlineMs = DEADLINE_MS, maxAttempts = MAX_ATTEMPTS, maxCost = {}, confirm } = this.#options;
    const scope = new Scope(deadlineMs, request.signal);
    this.#scopes.add(scope);
    this.#count(request.origin, 1);
    try {
      let refusal: Refusal | undefined;
      if (first !== undefined) {
        const problem = await readProblem(first.response, scope.signal);
        if (problem === undefined) return first.response;
        refusal = { ...first, problem };
      }
      const exchange = new Exchange(request, scope, {
        solver: this.#solver,
        queue: this.#queue,
        gathering: this.#gathering(request.origin),
        maxAttempts,
        maxCost,
        confirm,
        tell: (name, detail) => this.#tell(name, detail),
      });
      return await exchange.run(refusal, turns, arrive);
    } catch (error) {
      // Old platforms reject with another error than the signal's reason.
      const told = scope.signal.aborted && !(error instanceof PouwError) ? scope.signal.reason : error;
      this.#tell('failed', { error: told, url: request.url });
      throw told;
    } finally {
      scope.done();
      this.#scopes.delete(scope);
      this.#count(request.origin, -1);
    }
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

/** A function like `fetch` that uses a client. */
export interface PouwFetch {
  (input: FetchInput, init?: RequestInit): Promise<Response>;
  /** The client, for its events. */
  readonly client: PouwClient;
  /** Closes the client. */
  close(): void;
}

/** Creates a replacement for `fetch`. */
export function createPouwFetch(options: PouwClientOptions = {}): PouwFetch {
  const client = createPouwClient(options);
  return Object.assign((input: FetchInput, init?: RequestInit) => client.fetch(input, init), {
    client,
    close: () => client.close(),
  });
}

/**
 * Sends one request with a client of its own. For more than occasional requests use {@link createPouwFetch}: requests
 * of one client queue instead of competing for challenges.
 */
export async function pouwFetch(
  input: FetchInput,
  init: RequestInit = {},
  options: PouwClientOptions = {},
): Promise<Response> {
  const client = createPouwClient(options);
  try {
    return await client.fetch(input, init);
  } finally {
    client.close();
  }
}
