import type { Queue } from './queue.js';

/** How long a stream that opens keeps its turn; its service may send its headers late. */
const OPENING_MS = 1_000;

/** The turn of one exchange in the queue, which it may have more than once. */
export class Turn {
  #queue: Queue;
  #signal: AbortSignal;
  #hold: (on: boolean) => void;
  #leave: (() => void) | undefined;

  /** `hold` hears whether later requests to the same origin have to wait for the exchange. */
  constructor(queue: Queue, signal: AbortSignal, hold: (on: boolean) => void) {
    [this.#queue, this.#signal, this.#hold] = [queue, signal, hold];
  }

  /** Waits for a turn, unless this is one. Returns whether it waited. */
  async take(): Promise<boolean> {
    if (this.#leave !== undefined) return false;
    this.#hold(true);
    this.#leave = await this.#queue.enter(this.#signal);
    return true;
  }

  /** Ends the turn. */
  end(): void {
    this.#leave?.();
    this.#leave = undefined;
  }

  /** Waits for the promise. If that takes long, ends the turn, and lets later requests go first. */
  async unlessLate<T>(promise: Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.end();
      this.#hold(false);
    }, OPENING_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
