import { PouwError } from './errors.js';
import type { EventSourceOptions } from './options.js';
import { ownOrigin } from './place.js';
import type { StreamKind } from './stream.js';
import { streamFetch } from './stream-fetch.js';
import { TIMER_MAX_MS } from './time.js';
import type { AnyListener, ListenerOptions } from './types.js';

const [CONNECTING, OPEN, CLOSED] = [0, 1, 2] as const;

/** Gets each source before it is open, and once more if it is kept while it connects. */
export type Adopt = (source: EventSource) => void;

/** How an `EventSource` is opened. */
export function eventSourceKind(
  withCredentials: boolean,
  adopt: Adopt,
  fetcher: typeof fetch,
  make: EventSourceOptions['open'] = (url) => usual(url, withCredentials),
): StreamKind<EventSource> {
  return {
    name: 'EventSource',
    open: (url, headers, signal) => {
      const made = () => {
        const { own, once } = headers;
        const source = make(url, { ...own, ...once }, streamFetch(fetcher, headers));
        adopt(source);
        return source;
      };
      return openSource(made, adopt, signal);
    },
    isOpen: ({ readyState }) => readyState !== CONNECTING,
    isHopeless: ({ status, headers }) =>
      status !== 200 || !(headers.get('content-type') ?? '').startsWith('text/event-stream'),
  };
}

function usual(url: string, withCredentials: boolean): EventSource {
  if (typeof EventSource === 'function' && ownOrigin() !== undefined)
    return new EventSource(url, { withCredentials });
  const message = 'There is no EventSource of a page here: pass the option `open`, which makes one.';
  throw new PouwError('unsupported', message);
}

function openSource(
  make: () => EventSource,
  adopt: Adopt,
  signal: AbortSignal,
): Promise<EventSource | undefined> {
  return new Promise((resolve, reject) => {
    const source = make();
    const settle = (opened: boolean) => {
      signal.removeEventListener('abort', abort);
      source.removeEventListener('open', open);
      source.removeEventListener('error', error);
      resolve(opened ? source : undefined);
    };
    const abort = () => {
      if (isDeadline(signal.reason) && source.readyState !== CLOSED) {
        // Nothing has refused it: the service sends its headers late, or is not there and the source tries again.
        adopt(source);
        return settle(true);
      }
      reject(signal.reason);
      source.close();
    };
    const open = () => settle(true);
    // If it is not closed, it tries again by itself.
    const error = () => source.readyState === CLOSED && settle(false);
    signal.addEventListener('abort', abort, { once: true });
    source.addEventListener('open', open);
    source.addEventListener('error', error);
  });
}

function isDeadline(reason: unknown): boolean {
  return reason instanceof PouwError && reason.code === 'deadline';
}

/** Opens a source, by the id of the last event if it was open before. */
export type OpenSource = (lastEventId: string, adopt: Adopt, signal: AbortSignal) => Promise<EventSource>;

type Handler = ((event: Event) => void) | null;

/**
 * An `EventSource` that gets past the limit, also when it has to connect again. An `EventSource` ends with the first
 * response that is not 200, so this one uses another whenever that happens.
 */
export class PouwEventSource extends EventTarget {
  readonly CONNECTING = CONNECTING;
  readonly OPEN = OPEN;
  readonly CLOSED = CLOSED;
  /** The address, as it was given. */
  readonly url: string;
  /** As for an `EventSource`. */
  readonly withCredentials: boolean;
  /** Called when the stream is open, also again. */
  onopen: Handler = null;
  /** Called for each event without a name. */
  onmessage: ((event: MessageEvent) => void) | null = null;
  /** Called when the stream is lost or has failed; then `readyState` is 2, and the event has the `error`. */
  onerror: Handler = null;
  /** The one that was made last, and the same once it is open or kept while it connects. */
  #made: EventSource | undefined;
  #source: EventSource | undefined;
  #open: OpenSource;
  #deadlineMs: number;
  /** Runs while the source connects again by itself. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #end = new AbortController();
  #names = new Set<string>();
  #lastEventId = '';

  /**
   * Made by `PouwClient.eventSource`. `deadlineMs` bounds how long the source of the platform may connect again without
   * a word; `signal` ends it like `close`.
   */
  constructor(
    url: string,
    withCredentials: boolean,
    open: OpenSource,
    deadlineMs: number,
    signal?: AbortSignal,
  ) {
    super();
    [this.url, this.withCredentials, this.#open] = [url, withCredentials, open];
    this.#deadlineMs = deadlineMs;
    super.addEventListener('open', (event) => this.onopen?.(event));
    super.addEventListener('error', (event) => this.onerror?.(event));
    super.addEventListener('message', (event) => this.onmessage?.(event as MessageEvent));
    this.#listenFor('message');
    signal?.addEventListener('abort', () => this.#fail(signal.reason), {
      once: true,
      signal: this.#end.signal,
    });
    if (signal?.aborted) queueMicrotask(() => this.#fail(signal.reason));
    else void this.#connect();
  }

  /** Aborts at the end. */
  get ended(): AbortSignal {
    return this.#end.signal;
  }

  /** 0 while it connects, 1 while it is open, 2 at the end. */
  get readyState(): 0 | 1 | 2 {
    if (this.#end.signal.aborted) return CLOSED;
    return this.#source?.readyState === OPEN ? OPEN : CONNECTING;
  }

  /** Ends it. */
  close(): void {
    this.#end.abort();
    clearTimeout(this.#timer);
    this.#source?.close();
  }

  override addEventListener(type: string, listener: AnyListener, options?: ListenerOptions): void {
    this.#listenFor(type);
    super.addEventListener(type, listener, options);
  }

  async #connect(): Promise<void> {
    const { signal } = this.#end;
    try {
      const source = await this.#open(this.#lastEventId, (made) => this.#adopt(made), signal);
      if (signal.aborted) source.close();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Listens to a source from the beginning, so that no event is missed. One that comes again is kept as it is. */
  #adopt(source: EventSource): void {
    if (this.#made === source) {
      this.#source = source;
      return;
    }
    this.#made = source;
    for (const name of this.#names) source.addEventListener(name, this.#pass);
    source.addEventListener('open', (event) => {
      // The service can give an event this name.
      if ('data' in event) return;
      clearTimeout(this.#timer);
      this.#source = source;
      if (!this.#end.signal.aborted) this.dispatchEvent(new Event('open'));
    });
    source.addEventListener('error', (event) => {
      if (this.#source === source) this.#lost(event);
    });
  }

  /** Hands an event on. A server can also give events the names of those of the stream itself. */
  #pass = (event: MessageEvent): void => {
    if (!('data' in event) || this.#end.signal.aborted) return;
    const { type, data, origin, lastEventId } = event;
    this.#lastEventId = lastEventId;
    this.dispatchEvent(new MessageEvent(type, { data, origin, lastEventId }));
  };

  #lost(event: Event): void {
    if ('data' in event || this.#end.signal.aborted) return;
    clearTimeout(this.#timer);
    const again = this.#source?.readyState === CLOSED;
    if (again) this.#source = undefined;
    this.dispatchEvent(new Event('error'));
    if (this.#end.signal.aborted) return;
    if (again) void this.#connect();
    else this.#timer = setTimeout(() => this.#replace(), Math.min(this.#deadlineMs, TIMER_MAX_MS));
  }

  /** Opens another source in place of one that connects and gets neither a response nor an error. */
  #replace(): void {
    this.#source?.close();
    this.#source = undefined;
    void this.#connect();
  }

  #fail(error: unknown): void {
    if (this.#end.signal.aborted) return;
    this.close();
    this.dispatchEvent(Object.assign(new Event('error'), { error }));
  }

  #listenFor(type: string): void {
    if (this.#names.has(type)) return;
    this.#names.add(type);
    this.#made?.addEventListener(type, this.#pass);
  }
}
