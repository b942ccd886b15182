import { PouwError } from './errors.js';
import type { PouwEventDetails, PouwListener } from './events.js';
import { Gathering } from './gathering.js';
import type { Refusal } from './offer.js';
import { Passage } from './passage.js';
import { readProblem } from './problem.js';
import { Queue } from './queue.js';
import { Repeatable } from './request.js';
import { Scope } from './scope.js';
import { Solver } from './solver.js';
import { monotonicMs } from './time.js';
import type { AnyListener, EngineChoice, FetchInput, ListenerOptions, WorkUnit } from './types.js';

/** The most that is spent on one challenge. Parts that are left out are not limited. */
export interface MaxCost {
  /** Bytes of data to hash. */
  bytes?: number;
  /** Hashes to compute. */
  hashes?: number;
  /** Seconds that the server makes the client wait. */
  seconds?: number;
}

/** Options of {@link createPouwClient}. All of them can be left out. */
export interface PouwClientOptions {
  /** Milliseconds from the first 429, or from being held back, until a request has to be through; 60 000. */
  deadlineMs?: number;
  /** How often one request is sent at most, the first time included; 8. */
  maxAttempts?: number;
  /** The most that is spent on one challenge; dearer ones are rejected as `too_expensive`. */
  maxCost?: MaxCost;
  /** Asked before a unit is solved; anything but true is a `declined`. It must not wait for a fetch of this client. */
  confirm?: (unit: WorkUnit, about: { url: string; signal: AbortSignal }) => boolean | Promise<boolean>;
  /** Which implementation hashes; `auto`. */
  engine?: EngineChoice;
  /** False: never start a worker, hash on this thread in slices; true. */
  worker?: boolean;
  /** Where the worker's script is, if not beside this file. */
  workerUrl?: string | URL;
  /** Where the WebAssembly module is, if not beside this file. */
  wasmUrl?: string | URL;
  /** Warnings stay off the console. */
  quiet?: boolean;
  /** What sends requests; the global `fetch`. Its responses may be of any class. */
  fetch?: typeof fetch;
}

const DEADLINE_MS = 60_000;
const MAX_ATTEMPTS = 8;

/**
 * Sends requests, and when one meets the limit solves the work in the 429 and sends it again. Works on one challenge
 * at a time, each for one request; requests to the same origin wait meanwhile. Made by {@link createPouwClient}.
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
   * As the global `fetch`; a 429 with work is solved on the way. Responses that have nothing to do with the limiter
   * are handed back untouched.
   *
   * @throws {@link PouwError} when the limiter does not let the request through; the reason of the request's own
   * signal; what `fetch` throws when the request could not be sent at all.
   */
  fetch = async (input: FetchInput, init: RequestInit = {}): Promise<Response> => {
    if (this.#closed) throw closedError();
    const request = new Repeatable(input, init, this.#options.fetch ?? fetch);
    if (this.#limited.has(request.origin)) return this.#passage(request);
    const { turns } = this.#queue;
    const arrive = this.#gathering(request.origin).depart();
    try {
      const response = await request.prepare()();
      if (response.status !== 429) return response;
      return await this.#passage(request, { response, receivedAt: monotonicMs() }, turns, arrive);
    } finally {
      arrive();
    }
  };

  /** Adds a listener; see {@link PouwEventDetails} for what its event's `detail` holds. */
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

  /** Ends the worker and rejects what is under way as `closed`. Responses that were handed out stay good. */
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

  /** Gets a request through, from its first 429 on; `turns` had ended when it was sent. */
  async #passage(
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
      const passage = new Passage(request, scope, {
        solver: this.#solver,
        queue: this.#queue,
        gathering: this.#gathering(request.origin),
        maxAttempts,
        maxCost,
        confirm,
        tell: (name, detail) => this.#tell(name, detail),
      });
      return await passage.run(refusal, turns, arrive);
    } catch (error) {
      // Old platforms reject with an error of their own instead of the signal's reason.
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

/** Makes a client. Close it when it is no longer needed: its worker ends then. */
export function createPouwClient(options: PouwClientOptions = {}): PouwClient {
  return new PouwClient(options);
}

/** A function like `fetch` with a client behind it. */
export interface PouwFetch {
  (input: FetchInput, init?: RequestInit): Promise<Response>;
  /** The client behind it, for its events. */
  readonly client: PouwClient;
  /** Closes the client. */
  close(): void;
}

/** Makes a function to be used in the place of `fetch`. */
export function createPouwFetch(options: PouwClientOptions = {}): PouwFetch {
  const client = createPouwClient(options);
  return Object.assign((input: FetchInput, init?: RequestInit) => client.fetch(input, init), {
    client,
    close: () => client.close(),
  });
}

/**
 * One request through a client of its own, which is closed afterwards. For more than now and then use
 * {@link createPouwFetch}: requests of one client queue up instead of competing for challenges.
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
