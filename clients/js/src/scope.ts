import { PouwError } from './errors.js';
import { monotonicMs } from './time.js';

/** The time one request may take to get through, and all that can end it before. */
export class Scope {
  /** Aborts with the request's own signal, at the deadline, and when the client is closed. */
  readonly signal: AbortSignal;
  #own = new AbortController();
  #endsAt: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(deadlineMs: number, signal: AbortSignal | undefined) {
    this.#endsAt = monotonicMs() + deadlineMs;
    this.signal = signal === undefined ? this.#own.signal : either(this.#own, signal);
    this.#timer = setTimeout(
      () => this.end(new PouwError('deadline', `The deadline of ${deadlineMs} ms has passed.`)),
      Math.min(deadlineMs, 2 ** 31 - 1),
    );
  }

  /** Milliseconds left. */
  get left(): number {
    return this.#endsAt - monotonicMs();
  }

  /** Ends it with an error. */
  end(error: PouwError): void {
    clearTimeout(this.#timer);
    this.#own.abort(error);
  }

  /** The time no longer counts. The request's own signal goes on, for the body of the response. */
  done(): void {
    clearTimeout(this.#timer);
  }
}

function either(own: AbortController, signal: AbortSignal): AbortSignal {
  if (typeof AbortSignal.any === 'function') return AbortSignal.any([own.signal, signal]);
  if (signal.aborted) own.abort(signal.reason);
  signal.addEventListener('abort', () => own.abort(signal.reason), { once: true });
  return own.signal;
}
