import type { EngineChoice, WorkUnit } from './types.js';

/** The most that one challenge may cost. Absent members are not limited. */
export interface MaxCost {
  /** Bytes of data to hash. */
  bytes?: number;
  /** Hashes to compute. */
  hashes?: number;
  /** Seconds that the server makes the client wait. */
  seconds?: number;
}

/** Options of `createPouwClient`. All of them can be left out. */
export interface PouwClientOptions {
  /**
   * Milliseconds from the first 429, or from queueing, until a request must be through; default 60 000. For a stream
   * from the start of each opening; an event stream that nothing has refused by then is kept.
   */
  deadlineMs?: number;
  /** The most times one request is sent, the first included; default 8. */
  maxAttempts?: number;
  /** The most that one challenge may cost; others are rejected as `too_expensive`. */
  maxCost?: MaxCost;
  /** Called before a unit is solved; anything but true is `declined`. It must not wait for a fetch of this client. */
  confirm?: (unit: WorkUnit, about: { url: string; signal: AbortSignal }) => boolean | Promise<boolean>;
  /** The implementation that hashes; default `auto`. */
  engine?: EngineChoice;
  /** False: hash on this thread in slices, without a worker; default true. */
  worker?: boolean;
  /** Address of the worker's script, if not beside this file. */
  workerUrl?: string | URL;
  /** Address of the WebAssembly module, if not beside this file. */
  wasmUrl?: string | URL;
  /** True: no warnings on the console; default false. */
  quiet?: boolean;
  /** False: answers buy no more than their own request, and passes are neither kept nor sent; default true. */
  passes?: boolean;
  /** False: requests without an answer do not say which units the client computes (`X-PoUW-Accept`); default true. */
  announce?: boolean;
  /** The function that sends requests; default the global `fetch`. Its responses may be of any class. */
  fetch?: typeof fetch;
}

/** Options of a stream. All of them can be left out. */
export interface StreamOptions {
  /** Ends the opening, and an event stream at any time. */
  signal?: AbortSignal;
  /** Headers beside those of the protocol. Not in a page, where streams have none. */
  headers?: Record<string, string>;
}

/** Options of `PouwClient.webSocket`. */
export interface WebSocketOptions extends StreamOptions {
  /**
   * Makes the socket; default `new WebSocket(url, protocols)` in a page, `new WebSocket(url, { protocols, headers })`
   * elsewhere. The headers have the answer; in a page they are empty, and it is in a cookie.
   */
  open?: (url: string, protocols: string[], headers: Record<string, string>) => WebSocket;
}

/** Options of `PouwClient.eventSource`. */
export interface EventSourceOptions extends StreamOptions {
  /** As for an `EventSource`. */
  withCredentials?: boolean;
  /**
   * Returns the address for a stream that is opened again, by the id of the last event that was listened to. A new
   * `EventSource` cannot send it in a header. Default: the same address.
   */
  resume?: (url: string, lastEventId: string) => string | URL;
  /**
   * Makes the source; default `new EventSource(url, { withCredentials })` in a page. Elsewhere there is no default,
   * because the classes differ in how they take headers. The headers have the answer; in a page they are empty. `fetch`
   * adds them, for classes that take one: it does so once with the answer, and not after a redirect to another origin.
   */
  open?: (url: string, headers: Record<string, string>, fetch: typeof globalThis.fetch) => EventSource;
}
