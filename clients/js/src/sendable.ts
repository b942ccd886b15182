import type { Pass } from './pass.js';

/** The answer to a unit, ready to be sent. */
export interface Answer {
  unitId: string;
  token: string;
  /** In compact form. */
  result: string;
  /** When the challenge expires, on the monotonic clock. */
  expiresAt: number;
}

/** A response, and what it is the response to. */
export interface Sent {
  response: Response;
  /** The request that was sent last: another one than at first if redirects were followed on the way. */
  request: Sendable;
  /** The pass that it was sent with. */
  pass: Pass | undefined;
}

/** What has to get past the limiter: a request, or the opening of a stream. It can be sent more than once. */
export interface Sendable {
  /** Absolute or relative, as it was given. */
  readonly url: string;
  /** What its limit is most likely counted by. */
  readonly origin: string;
  /** What ends it, beside the deadline. */
  readonly signal: AbortSignal | undefined;
  /** Nothing is known of why an answer was refused, so other work in response to it is done. */
  readonly blind: boolean;
  /** Whether there is a pass for it. */
  readonly hasPass: boolean;
  /** Sends it without an answer, by a pass if there is one. */
  ask(signal?: AbortSignal): Promise<Sent>;
  /**
   * Makes it ready to be sent with an answer.
   *
   * @returns what sends it, once.
   * @throws if that is not possible any more; nothing has been sent then.
   */
  answer(signal: AbortSignal, answer: Answer): () => Promise<Response>;
  /** The request that a redirect led to. */
  redirectedTo(url: string): Sendable;
}
