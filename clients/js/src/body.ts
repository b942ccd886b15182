/** What the bodies of this platform's responses and of other implementations have in common here. */
interface Source {
  read(): Promise<{ done?: boolean | undefined; value?: Uint8Array | undefined }>;
  cancel(): unknown;
}

/**
 * The text of a response, if it is at most `max` bytes.
 *
 * @throws the signal's reason; the rest of the body is then not wanted any more.
 */
export async function readText(
  response: Response,
  max: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  signal.throwIfAborted();
  const source = sourceOf(response);
  // Responses that only imitate one have no stream.
  if (source === undefined) return response.text();
  // The copy and the original share a source, which ends only when both are done: not awaited.
  const cancel = () => void ignored(() => source.cancel());
  // Not before `fetch` has heard of the same signal: what it does then fails, unheard, on a copy that is cancelled.
  const abort = () => void setTimeout(cancel);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const decoder = new TextDecoder();
    let text = '';
    let bytes = 0;
    for (;;) {
      const { done, value } = await source.read();
      signal.throwIfAborted();
      if (done || value === undefined) return text + decoder.decode();
      bytes += value.length;
      if (bytes > max) {
        cancel();
        return undefined;
      }
      text += decoder.decode(value, { stream: true });
    }
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Discards an unread response and frees its connection. */
export function discard({ body }: Response): void {
  if (body === null || body === undefined) return;
  void ignored(() => (typeof body.cancel === 'function' ? body.cancel() : destroy(body)));
}

function sourceOf({ body }: Response): Source | undefined {
  if (body === null || body === undefined) return undefined;
  if (typeof body.getReader === 'function') return body.getReader();
  // A stream of Node, as node-fetch has it.
  const stream = body as unknown as Partial<AsyncIterable<Uint8Array>>;
  const parts = stream[Symbol.asyncIterator]?.();
  return parts && { read: () => parts.next(), cancel: () => destroy(body) };
}

function destroy(body: unknown): unknown {
  return (body as { destroy?(): unknown }).destroy?.();
}

/** Runs what may fail without harm, now or later. */
async function ignored(action: () => unknown): Promise<void> {
  try {
    await action();
  } catch {
    // It has ended, or is being read.
  }
}
