import { createPouwClient, type PouwClient } from './client.js';
import type { PouwEventSource } from './event-source.js';
import type { EventSourceOptions, PouwClientOptions, WebSocketOptions } from './options.js';
import type { FetchInput } from './types.js';

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

/**
 * Opens one `WebSocket` with a client of its own; see {@link PouwClient.webSocket}. The client is closed when the
 * socket is open.
 */
export async function pouwWebSocket(
  url: string | URL,
  protocols: string | string[] = [],
  options: WebSocketOptions & PouwClientOptions = {},
): Promise<WebSocket> {
  const client = createPouwClient(options);
  try {
    return await client.webSocket(url, protocols, options);
  } finally {
    client.close();
  }
}

/**
 * Opens one event stream with a client of its own; see {@link PouwClient.eventSource}. The client is closed with the
 * stream.
 */
export function pouwEventSource(
  url: string | URL,
  options: EventSourceOptions & PouwClientOptions = {},
): PouwEventSource {
  const client = createPouwClient(options);
  const source = client.eventSource(url, options);
  source.ended.addEventListener('abort', () => client.close(), { once: true });
  return source;
}
