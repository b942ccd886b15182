import { discard } from './body.js';
import { toCompact } from './compact.js';
import { accepted, type ExchangeContext } from './context.js';
import { lost, PouwError } from './errors.js';
import { confirmed, isStale, weigh, type Refusal } from './offer.js';
import { readProblem, retryAfterMs } from './problem.js';
import type { Scope } from './scope.js';
import type { Answer, Sendable } from './sendable.js';
import { monotonicMs, sleepUntil } from './time.js';
import { Turn } from './turn.js';
import type { WorkUnit } from './types.js';
import { allowsMore, isTakenBack } from './verdict.js';

/** Units solved for one request: a second one only if the server took the first back. */
const UNITS_MAX = 2;
/** Repetitions of an answer that was too early or could not be stored. */
const REPEATS_MAX = 3;

/** How long a request without work waits for the responses to requests sent at the same time. */
const GATHER_MS = 2_000;

/** The outcome of sending. Distinguished by name, since there is more than one class of responses. */
type Outcome = { through: Response } | { refusal: Refusal };

/** Solves the challenges of one request. Sends a bounded number of times, within its scope. */
export class Exchange {
  #request: Sendable;
  #scope: Scope;
  #context: ExchangeContext;
  #turn: Turn;
  #sent = 0;
  #units = 0;
  #repeats = 0;
  /** A redirect of an answer has been followed. */
  #followed = false;
  /** The server got the last answer and did not take its challenge back. */
  #answered = false;
  /** A refusal whose body has not been read. */
  #held: Response | undefined;

  constructor(request: Sendable, scope: Scope, context: ExchangeContext) {
    this.#request = request;
    this.#scope = scope;
    this.#context = context;
    this.#turn = new Turn(context.queue, scope.signal, (on) => context.hold(on));
  }

  /**
   * Runs the exchange, starting with a refusal (of a request sent when `turns` had ended) or before the first sending.
   * `arrive` is called as soon as the request is in the queue or has no work.
   */
  async run(first: Refusal | undefined, turns: number, arrive: () => void): Promise<Response> {
    try {
      if (first !== undefined) {
        this.#sent = 1;
        this.#held = first.response;
        this.#move(first);
      }
      const response = await this.#through(first, turns, arrive);
      this.#hold(undefined);
      return response;
    } catch (error) {
      // The caller gets the response of an error.
      if (!(error instanceof PouwError && error.response === this.#held)) this.#hold(undefined);
      throw error;
    }
  }

  async #through(first: Refusal | undefined, turns: number, arrive: () => void): Promise<Response> {
    const { queue, gathered } = this.#context;
    const { signal } = this.#scope;
    let refusal = first;
    for (;;) {
      if (refusal !== undefined && refusal.problem.unit === undefined) {
        // Another request may have the work, and its response may not have arrived yet.
        arrive();
        await gathered(monotonicMs() + GATHER_MS, signal);
      }
      const others = queue.length > 0 || queue.turns !== turns;
      const entered = this.#turn.take();
      arrive();
      await entered;
      try {
        const useless = refusal?.problem.unit !== undefined && (this.#request.hasPass || isStale(refusal));
        if (useless) refusal = undefined;
        // Requests before this one may have made room: without a unit, ask again without an answer.
        if (refusal === undefined || (refusal.problem.unit === undefined && others)) {
          const outcome = await this.#plain(refusal);
          if ('through' in outcome) return outcome.through;
          refusal = outcome.refusal;
        }
        while (refusal.problem.unit !== undefined) {
          const outcome = await this.#work(refusal, refusal.problem.unit);
          if ('through' in outcome) return outcome.through;
          refusal = outcome.refusal;
        }
      } finally {
        this.#turn.end();
      }
      await this.#retryAfter(refusal);
      refusal = undefined;
    }
  }

  /** Sends the request as it is. */
  async #plain(last?: Refusal): Promise<Outcome> {
    await this.#turn.take();
    this.#count(last);
    const sent = await this.#inTurn(this.#request.ask(this.#scope.signal));
    const { response } = sent;
    const refusal = response.status === 429 ? await this.#refusal(response) : undefined;
    if (refusal === undefined) return { through: response };
    const hasWork = refusal.problem.unit !== undefined;
    this.#context.origins.refused(sent.request.origin, response, hasWork, sent.pass);
    this.#request = sent.request;
    this.#move(refusal);
    return { refusal };
  }

  /**
   * A refusal after a redirect is that of the new address: the first one let the request through and may have carried
   * it out. So the answer goes to the new address, and the request itself is not sent again.
   */
  #move({ response }: Refusal): void {
    if (response.redirected) this.#request = this.#request.redirectedTo(response.url);
  }

  /** Solves a unit, waits, and sends the answer; repeats it if the server could not process it. */
  async #work(refusal: Refusal, unit: WorkUnit): Promise<Outcome> {
    if (this.#answered || this.#units === UNITS_MAX) {
      const { response, problem } = refusal;
      const message = `Gave up: the server answered the work with more work: ${problem.detail}`;
      throw new PouwError('gave_up', message, { response, reason: problem.reason });
    }
    const waited = await this.#turn.take();
    // Meanwhile another request may have bought a pass, or the unit has expired.
    if (waited && (this.#request.hasPass || isStale(refusal))) return this.#plain(refusal);
    const answer = await this.#solve(refusal, unit);
    this.#answered = true;
    for (let last = refusal; ;) {
      const response = await this.#send(answer, last);
      // The limiter does not redirect, so a redirect comes from the service behind it.
      if (accepted(response) || response.redirected) return this.#passed(response, answer);
      const next = await this.#refused(response, answer);
      if (next === undefined) return { through: response };
      last = next;
      const { reason } = next.problem;
      if (reason !== 'too_early' && reason !== 'try_again') {
        this.#answered = !isTakenBack(next) && !this.#request.blind;
        return { refusal: next };
      }
      if (this.#repeats === REPEATS_MAX) {
        const message = `Gave up: the server did not process the answer in ${REPEATS_MAX + 1} attempts: ${next.problem.detail}`;
        throw new PouwError('gave_up', message, { response, reason, workUnitId: answer.unitId });
      }
      this.#repeats += 1;
      await this.#retryAfter(next, answer.unitId);
    }
  }

  async #solve(refusal: Refusal, unit: WorkUnit): Promise<Answer> {
    const { response, receivedAt } = refusal;
    const { solver, confirm, maxCost, tell } = this.#context;
    const { signal } = this.#scope;
    const { url } = this.#request;
    const task = weigh(unit, response, maxCost);
    const readyAt = receivedAt + unit.waitMs;
    if (readyAt - monotonicMs() > this.#scope.left) {
      const message = `The server demands a wait of ${unit.waitMs} ms, which exceeds the deadline.`;
      throw new PouwError('deadline', message, { response, workUnitId: unit.id });
    }
    // Do not hash if the answer could not be sent.
    this.#room(refusal);
    if (confirm !== undefined) await confirmed(confirm, unit, url, signal);
    this.#hold(undefined);
    this.#units += 1;
    tell('challenge', { unit, url, milliseconds: Math.max(0, readyAt - monotonicMs()) });
    const onProgress = (progress: { done: number; total: number }) => tell('progress', { ...progress, unit });
    const result = await solver.solve(unit, task, { onProgress, signal });
    tell('solved', { unit, result });
    await sleepUntil(readyAt, signal);
    const expiresAt = receivedAt + unit.ttlMs;
    return { unitId: unit.id, token: unit.challengeToken, result: toCompact(result), expiresAt };
  }

  /** Sends an answer, once. */
  async #send(answer: Answer, last: Refusal): Promise<Response> {
    this.#count(last, answer.unitId);
    const { signal } = this.#scope;
    const send = this.#request.answer(signal, answer);
    signal.throwIfAborted();
    return this.#inTurn(send()).catch((cause: unknown) => {
      if (cause instanceof PouwError && !signal.aborted) throw cause;
      throw lost(cause, signal, answer.unitId, `The answer to work unit ${answer.unitId} got no response.`);
    });
  }

  /** Waits for what was sent; the turn of a stream ends if that takes long. */
  #inTurn<T>(sending: Promise<T>): Promise<T> {
    return this.#request.blind ? this.#turn.unlessLate(sending) : sending;
  }

  /**
   * Handles the response to an accepted answer. If the service redirected, `fetch` sent the used answer to the next
   * address too. A refusal from there is not about the answer, and that address is requested without it.
   */
  async #passed(response: Response, answer: Answer): Promise<Outcome> {
    const workUnitId = answer.unitId;
    const award = response.headers.get('x-pouw-joule-award');
    const microJoules = award === null ? undefined : Number(award);
    this.#context.tell('accepted', { workUnitId, microJoules, response });
    const refusal = accepted(response) ? undefined : await this.#readRefusal(response, answer);
    if (refusal === undefined) return { through: response };
    if (this.#followed) {
      const { reason, detail } = refusal.problem;
      const message = `Gave up: the request was accepted, redirected more than once, and refused there: ${detail}`;
      throw new PouwError('gave_up', message, { response, reason, workUnitId });
    }
    this.#move(refusal);
    this.#followed = true;
    [this.#answered, this.#units] = [false, 0];
    try {
      return await this.#plain(refusal);
    } catch (cause) {
      if (cause instanceof PouwError) throw cause;
      throw lost(
        cause,
        this.#scope.signal,
        workUnitId,
        `The connection was lost after a redirect to ${response.url}.`,
      );
    }
  }

  /** Returns a refusal that allows another attempt; undefined if the response is not a refusal. */
  async #refused(response: Response, answer: Answer): Promise<Refusal | undefined> {
    const refusal = await this.#readRefusal(response, answer);
    return allowsMore(response, refusal, answer.unitId) ? refusal : undefined;
  }

  async #readRefusal(response: Response, answer: Answer): Promise<Refusal | undefined> {
    try {
      return await this.#refusal(response);
    } catch (cause) {
      const { unitId } = answer;
      throw lost(
        cause,
        this.#scope.signal,
        unitId,
        `The response to the answer to work unit ${unitId} broke off.`,
      );
    }
  }

  async #refusal(response: Response): Promise<Refusal | undefined> {
    if (response.status < 400) return undefined;
    const receivedAt = monotonicMs();
    const problem = await readProblem(response, this.#scope.signal);
    if (problem === undefined) return undefined;
    this.#hold(response);
    return { response, problem, receivedAt };
  }

  /** Keeps the last refusal for an error, and discards the one before. */
  #hold(response: Response | undefined): void {
    if (this.#held !== undefined && this.#held !== response) discard(this.#held);
    this.#held = response;
  }

  /**
   * Waits as long as the server demands, if the deadline allows it: until the same request, or the same answer, may
   * be sent again.
   */
  async #retryAfter({ response, problem, receivedAt }: Refusal, workUnitId?: string): Promise<void> {
    const until = receivedAt + retryAfterMs(response);
    if (until - monotonicMs() > this.#scope.left) {
      const seconds = retryAfterMs(response) / 1000;
      const message = `The server demands a wait of ${seconds} s, which exceeds the deadline: ${problem.detail}`;
      throw new PouwError('deadline', message, { response, reason: problem.reason, workUnitId });
    }
    const milliseconds = Math.max(0, until - monotonicMs());
    this.#context.tell('waiting', { reason: problem.reason, milliseconds, url: this.#request.url });
    await sleepUntil(until, this.#scope.signal);
  }

  /** Checks that the request may be sent once more. */
  #room(last: Refusal | undefined, workUnitId?: string): void {
    if (this.#sent < this.#context.maxAttempts) return;
    const message = `Gave up after ${this.#sent} requests: ${last?.problem.detail ?? ''}`;
    const details = last && { response: last.response, reason: last.problem.reason, workUnitId };
    throw new PouwError('gave_up', message, details);
  }

  /** Counts a sending. */
  #count(last: Refusal | undefined, workUnitId?: string): void {
    this.#room(last, workUnitId);
    this.#sent += 1;
  }
}
