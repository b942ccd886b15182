import { abortable } from './time.js';

/** Lets one through at a time, in order of arrival. */
export class Queue {
  #tail: Promise<void> = Promise.resolve();
  #length = 0;
  #turns = 0;

  /** How many are in it, the one that has its turn among them. */
  get length(): number {
    return this.#length;
  }

  /** How many turns have ended. */
  get turns(): number {
    return this.#turns;
  }

  /**
   * Waits for this one's turn.
   *
   * @returns what ends the turn; calling it twice does nothing.
   * @throws the signal's reason; the place in the queue is then given up.
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    const before = this.#tail;
    let release!: () => void;
    const turn = new Promise<void>((resolve) => (release = resolve));
    this.#tail = before.then(() => turn);
    this.#length += 1;
    let left = false;
    const leave = () => {
      if (left) return;
      left = true;
      this.#length -= 1;
      this.#turns += 1;
      release();
    };
    try {
      await abortable(before, signal);
    } catch (error) {
      leave();
      throw error;
    }
    return leave;
  }
}
