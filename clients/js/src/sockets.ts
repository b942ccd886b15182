import { PouwError } from './errors.js';
import type { WebSocketOptions } from './options.js';
import { ownOrigin } from './place.js';
import type { StreamKind } from './stream.js';

/** How a `WebSocket` is opened. */
export function webSocketKind(
  protocols: string[],
  make: WebSocketOptions['open'] = usual,
): StreamKind<WebSocket> {
  return {
    name: 'WebSocket',
    open: (url, { own, once }, signal) => openSocket(() => make(url, protocols, { ...own, ...once }), signal),
    isOpen: () => true,
    // A service that only speaks to sockets refuses other requests in its own way.
    isHopeless: () => false,
  };
}

function usual(url: string, protocols: string[], headers: Record<string, string>): WebSocket {
  if (typeof WebSocket !== 'function') {
    const message = 'There is no WebSocket here: pass the option `open`, which makes one.';
    throw new PouwError('unsupported', message);
  }
  if (ownOrigin() !== undefined) return new WebSocket(url, protocols);
  // Node takes headers in place of the list.
  return new WebSocket(url, { protocols, headers } as unknown as string[]);
}

function openSocket(make: () => WebSocket, signal: AbortSignal): Promise<WebSocket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = make();
    const settle = (opened: boolean) => {
      signal.removeEventListener('abort', abort);
      resolve(opened ? socket : undefined);
    };
    const abort = () => {
      reject(signal.reason);
      socket.close();
    };
    signal.addEventListener('abort', abort, { once: true });
    socket.addEventListener('open', () => settle(true), { once: true });
    // Some classes have one of them only.
    for (const name of ['close', 'error']) socket.addEventListener(name, () => settle(false), { once: true });
  });
}
