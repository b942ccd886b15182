import { hasCookie, keepsCookie, removeCookie, setCookie } from './place.js';
import { monotonicMs } from './time.js';

/** What a response says of a pass. */
export interface PassLeft {
  name: string;
  requests: number;
  /** When its time is over, on the monotonic clock. */
  until: number;
}

/** Requests that an answer bought beside its own. Requests under way at the same time share it. */
export class Pass {
  readonly name: string;
  /** The policy of the server that it counts for; empty if the server does not say. */
  readonly policy: string;
  #left: number;
  #until: number;
  #sending = 0;
  #mayBeCookie: boolean;

  /** `mayBeCookie`: it is of the page's own origin, so a cookie takes it along. */
  constructor({ name, requests, until }: PassLeft, policy: string, mayBeCookie: boolean) {
    [this.name, this.policy, this.#mayBeCookie] = [name, policy, mayBeCookie];
    [this.#left, this.#until] = [requests, until];
    // Another one stays there: it may be of another policy, and the browser's own requests may need it.
    this.#mayBeCookie &&= keepsCookie('pass') || this.enterCookie();
  }

  /** The browser sends it, in the cookie, and the server alone counts. The cookie has one pass at a time. */
  get byCookie(): boolean {
    return this.#mayBeCookie && hasCookie('pass', this.name);
  }

  /** Whether there is something left of it for one more request. */
  get usable(): boolean {
    return monotonicMs() < this.#until && (this.#sending < this.#left || this.byCookie);
  }

  /** Whether it may be in the cookie, and the browser keeps that. */
  get mayBeCookie(): boolean {
    return this.#mayBeCookie;
  }

  /** Puts it into the cookie, in place of another one. Returns whether it is there. */
  enterCookie(): boolean {
    if (!this.#mayBeCookie || this.byCookie) return this.#mayBeCookie;
    return setCookie('pass', this.name, Math.max(1, Math.round((this.#until - monotonicMs()) / 1000)));
  }

  /** Takes it out of the cookie; another one stays there. */
  leaveCookie(): void {
    if (this.#mayBeCookie) removeCookie('pass', this.name);
  }

  /** Counts a request sent with it, until the function that is returned is called. */
  depart(): () => void {
    this.#sending += 1;
    return () => (this.#sending -= 1);
  }

  /** What a response says is left. Responses overtake each other, and it never becomes more. */
  narrow({ requests, until }: PassLeft): void {
    [this.#left, this.#until] = [Math.min(this.#left, requests), Math.min(this.#until, until)];
  }
}
