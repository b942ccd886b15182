import { abortable, sleepUntil } from './time.js';

/** Requests on their way for the first time: what becomes of them is not known yet. */
export class Gathering {
  #count = 0;
  #waiting = new Set<() => void>();

  /** Counts a request as sent. Returns a function to call on its arrival; a second call does nothing. */
  depart(): () => void {
    this.#count += 1;
    let there = false;
    return () => {
      if (there) return;
      there = true;
      this.#count -= 1;
      if (this.#count > 0) return;
      for (const go of this.#waiting) go();
      this.#waiting.clear();
    };
  }

  /** Waits until none is on its way, or the monotonic clock shows `atMs`. Rejects with the signal's reason. */
  async complete(atMs: number, signal: AbortSignal): Promise<void> {
    if (this.#count === 0) return;
    const late = new AbortController();
    const complete = new Promise<void>((resolve) => this.#waiting.add(resolve));
    const tooLate = sleepUntil(atMs, late.signal).catch(() => {});
    try {
      await abortable(Promise.race([complete, tooLate]), signal);
    } finally {
      late.abort();
    }
  }
}
