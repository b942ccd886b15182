import { abortable, sleepUntil } from './time.js';

/** Requests on their way for the first time, by origin. Knows an origin only while there are some. */
export class Gatherings {
  #known = new Map<string, Gathering>();

  /** How many origins are known. */
  get size(): number {
    return this.#known.size;
  }

  /** Counts a request as sent. Returns a function to call on its arrival; a second call does nothing. */
  depart(origin: string): () => void {
    const known = this.#known.get(origin) ?? new Gathering();
    this.#known.set(origin, known);
    const arrive = known.depart();
    return () => {
      arrive();
      if (known.isComplete && this.#known.get(origin) === known) this.#known.delete(origin);
    };
  }

  /** Waits until none is on its way, or the monotonic clock shows `atMs`. Rejects with the signal's reason. */
  async complete(origin: string, atMs: number, signal: AbortSignal): Promise<void> {
    await this.#known.get(origin)?.complete(atMs, signal);
  }
}

/** Requests to one origin. */
class Gathering {
  #count = 0;
  #waiting = new Set<() => void>();

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

  get isComplete(): boolean {
    return this.#count === 0;
  }

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
