import type { Queue } from './queue.js';

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

  /** Waits for a turn, unless this is one. */
  async take(): Promise<void> {
    if (this.#leave !== undefined) return;
    this.#hold(true);
    this.#leave = await this.#queue.enter(this.#signal);
  }

  /** Ends the turn. */
  end(): void {
    this.#leave?.();
    this.#leave = undefined;
  }

  /** Ends the turn, and lets later requests go first. */
  stepAside(): void {
    this.end();
    this.#hold(false);
  }
}
