/** How the tabs of one site hear that a pass is there, so that those which wait for one need not do the work too. */

/** Name of the channel, and the only message on it. */
const [CHANNEL, PASS] = ['pouw', 'pass'];

/** Announces to the other tabs of this origin that a pass is there. Nothing happens where tabs cannot talk. */
export function announce(): void {
  const channel = connect();
  channel?.postMessage(PASS);
  channel?.close();
}

/**
 * Calls back when another tab has announced a pass: once.
 *
 * @returns what ends it before.
 */
export function onAnnounced(callback: () => void): () => void {
  const channel = connect();
  if (channel === undefined) return () => {};
  channel.onmessage = ({ data }) => {
    if (data !== PASS) return;
    channel.close();
    callback();
  };
  return () => channel.close();
}

function connect(): BroadcastChannel | undefined {
  try {
    return typeof BroadcastChannel === 'function' ? new BroadcastChannel(CHANNEL) : undefined;
  } catch {
    // A sandboxed frame may refuse with an error.
    return undefined;
  }
}
