import { toCompact } from './compact.js';
import type { MaxCost, PouwClientOptions } from './client.js';
import { PouwError } from './errors.js';
import type { PouwEventDetails } from './events.js';
import type { Gathering } from './gathering.js';
import { readProblem, retryAfterMs, type Problem } from './problem.js';
import type { Queue } from './queue.js';
import type { AnswerHeaders, Repeatable } from './request.js';
import type { Scope } from './scope.js';
import type { Solver } from './solver.js';
import { abortable, monotonicMs, sleepUntil } from './time.js';
import type { WorkUnit } from './types.js';
import { validateUnit } from './validate.js';

/** A refusal of the limiter, and when it came. */
export interface Refusal {
  response: Response;
  problem: Problem;
  /** On the monotonic clock. */
  receivedAt: number;
}

/** What the client lends to each request. */
export interface PassageContext {
  solver: Solver;
  queue: Queue;
  gathering: Gathering;
  maxAttempts: number;
  maxCost: MaxCost;
  confirm: PouwClientOptions['confirm'];
  tell<Name extends keyof PouwEventDetails>(name: Name, detail: PouwEventDetails[Name]): boolean;
}

/** How long a request without work waits to hear what those got that were sent together with it. */
const GATHER_MS = 2_000;

/** A solved unit, ready to be sent. */
interface Answer extends AnswerHeaders {
  unitId: string;
}

/** The way of one request past the limit. Sends a bounded number of times, within its scope. */
export class Passage {
  #request: Repeatable;
  #scope: Scope;
  #context: PassageContext;
  #sent = 0;

  constructor(request: Repeatable, scope: Scope, context: PassageContext) {
    this.#request = request;
    this.#scope = scope;
    this.#context = context;
  }

  /**
   * Gets through, beginning with a refusal (of a request sent when `turns` had ended) or with nothing sent yet.
   * `arrive` is called as soon as others can see it in the queue, or it has no work.
   */
  async run(first: Refusal | undefined, turns: number, arrive: () => void): Promise<Response> {
    const { queue, gathering } = this.#context;
    const { signal } = this.#scope;
    let refusal = first;
    if (first !== undefined) this.#sent = 1;
    for (;;) {
      if (refusal !== undefined && refusal.problem.unit === undefined) {
        // Another one may have the work that there is, and its response be still on its way.
        arrive();
        await gathering.complete(monotonicMs() + GATHER_MS, signal);
      }
      const others = queue.length > 0 || queue.turns !== turns;
      const entered = queue.enter(signal);
      arrive();
      const leave = await entered;
      try {
        if (refusal?.problem.unit !== undefined && isStale(refusal)) refusal = undefined;
        // Those before may have made room: whoever has no unit in hand asks again without an answer.
        if (refusal === undefined || (refusal.problem.unit === undefined && others)) {
          const outcome = await this.#plain(refusal);
          if (outcome instanceof Response) return outcome;
          refusal = outcome;
        }
        while (refusal.problem.unit !== undefined) {
          const outcome = await this.#work(refusal, refusal.problem.unit);
          if (outcome instanceof Response) return outcome;
          refusal = outcome;
        }
      } finally {
        leave();
      }
      await this.#retryAfter(refusal);
      refusal = undefined;
    }
  }

  /** Sends the request as it is. A refusal, or any other response to hand back. */
  async #plain(last: Refusal | undefined): Promise<Response | Refusal> {
    this.#count(last);
    const response = await this.#request.send(this.#scope.signal);
    if (response.status !== 429) return response;
    return (await this.#refusal(response)) ?? response;
  }

  /** Solves a unit, waits and sends the answer. */
  async #work(refusal: Refusal, unit: WorkUnit): Promise<Response | Refusal> {
    const answer = await this.#solve(refusal, unit);
    let last = refusal;
    for (;;) {
      const outcome = await this.#send(answer, last);
      if (outcome instanceof Response) return outcome;
      last = outcome;
      const again = ['too_early', 'try_again'].includes(outcome.problem.reason);
      const token = outcome.problem.unit?.challengeToken ?? outcome.response.headers.get('x-pouw-challenge');
      if (!again || (token !== null && token !== answer.token)) return outcome;
      await this.#retryAfter(outcome);
    }
  }

  async #solve({ response, receivedAt }: Refusal, unit: WorkUnit): Promise<Answer> {
    const { solver, confirm, tell } = this.#context;
    const { signal } = this.#scope;
    const { url } = this.#request;
    const task = validateUnit(unit);
    if (!/^[\x21-\x7e]+$/.test(unit.challengeToken)) {
      throw new PouwError('invalid_unit', 'The token of the unit of work cannot be sent in a header.', {
        member: 'challengeToken',
      });
    }
    this.#affordable(unit, task.data.length, response);
    const details = { response, workUnitId: unit.id };
    if (unit.ttlMs <= unit.waitMs) {
      throw new PouwError('expired', 'The unit of work expires before its answer counts.', details);
    }
    const readyAt = receivedAt + unit.waitMs;
    if (readyAt - monotonicMs() > this.#scope.left) {
      throw new PouwError(
        'deadline',
        `An answer counts only after ${unit.waitMs} ms, over the time left.`,
        details,
      );
    }
    if (confirm !== undefined) await this.#confirmed(confirm, unit);
    tell('challenge', { unit, url });
    const onProgress = (progress: { done: number; total: number }) => tell('progress', { ...progress, unit });
    const result = await solver.solve(unit, task, { onProgress, signal });
    tell('solved', { unit, result });
    await sleepUntil(readyAt, signal);
    return { unitId: unit.id, token: unit.challengeToken, result: toCompact(result) };
  }

  #affordable(unit: WorkUnit, bytes: number, response: Response): void {
    const { maxCost } = this.#context;
    const costs: [string, number, number | undefined][] = [
      ['bytes of data', bytes, maxCost.bytes],
      ['hashes', unit.nodeCount, maxCost.hashes],
      ['seconds to wait', unit.waitMs / 1000, maxCost.seconds],
    ];
    for (const [what, asked, allowed] of costs) {
      if (allowed === undefined || asked <= allowed) continue;
      throw new PouwError(
        'too_expensive',
        `The server asks for ${asked} ${what}, at most ${allowed} are allowed.`,
        {
          response,
          workUnitId: unit.id,
        },
      );
    }
  }

  async #confirmed(confirm: NonNullable<PouwClientOptions['confirm']>, unit: WorkUnit): Promise<void> {
    const { signal } = this.#scope;
    const asked = (async () => confirm(unit, { url: this.#request.url, signal }))();
    let cause: unknown;
    const yes = await abortable(asked, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      cause = error;
      return false;
    });
    if (yes === true) return;
    throw new PouwError('declined', 'The work was declined.', { workUnitId: unit.id, cause });
  }

  /** Sends an answer. A refusal to go on with, or the response that lies behind the limit. */
  async #send(answer: Answer, last: Refusal): Promise<Response | Refusal> {
    this.#count(last);
    const { signal } = this.#scope;
    const workUnitId = answer.unitId;
    let response: Response;
    try {
      response = await this.#request.send(signal, answer);
    } catch (cause) {
      const receipt =
        'The receipt of that name tells whether it was taken; the request may have been carried out.';
      if (signal.aborted) {
        const { reason } = signal;
        if (!(reason instanceof PouwError)) throw reason;
        const message = `${reason.message} The answer to work unit ${workUnitId} was on its way. ${receipt}`;
        throw new PouwError(reason.code, message, { cause: reason, workUnitId });
      }
      const message = `The connection was lost while the answer to work unit ${workUnitId} was on its way. ${receipt}`;
      throw new PouwError('connection_lost', message, { cause, workUnitId });
    }
    if (response.headers.get('x-pouw-accepted') === 'true') {
      const award = response.headers.get('x-pouw-joule-award');
      const microJoules = award === null ? undefined : Number(award);
      this.#context.tell('accepted', { workUnitId, microJoules, response });
      return response;
    }
    const refusal = await this.#refusal(response);
    if (refusal !== undefined && response.status === 429) return refusal;
    if (refusal !== undefined) {
      const { reason, detail } = refusal.problem;
      throw new PouwError('refused', `The answer was refused: ${detail}`, { reason, response, workUnitId });
    }
    const html = response.headers.get('content-type')?.startsWith('text/html') ?? false;
    if (response.status === 403 || response.status === 429 || (response.status >= 400 && html)) {
      const message = `The answer got a response of status ${response.status} that is not the limiter's.`;
      throw new PouwError('unexpected_response', message, { response, workUnitId });
    }
    return response;
  }

  async #refusal(response: Response): Promise<Refusal | undefined> {
    if (response.status < 400) return undefined;
    const receivedAt = monotonicMs();
    const problem = await abortable(readProblem(response), this.#scope.signal);
    return problem && { response, problem, receivedAt };
  }

  /** Waits as long as the server says, if there is time for it. */
  async #retryAfter({ response, problem, receivedAt }: Refusal): Promise<void> {
    const until = receivedAt + retryAfterMs(response);
    if (until - monotonicMs() > this.#scope.left) {
      const seconds = retryAfterMs(response) / 1000;
      const message = `The server asks to wait ${seconds} s, over the time left: ${problem.detail}`;
      throw new PouwError('deadline', message, { response, reason: problem.reason });
    }
    const milliseconds = Math.max(0, until - monotonicMs());
    this.#context.tell('waiting', { reason: problem.reason, milliseconds, url: this.#request.url });
    await sleepUntil(until, this.#scope.signal);
  }

  /** Counts one more time of sending. */
  #count(last: Refusal | undefined): void {
    if (this.#sent < this.#context.maxAttempts) {
      this.#sent += 1;
      return;
    }
    const message = `Sent ${this.#sent} times and not let through: ${last?.problem.detail ?? ''}`;
    const details = last && { response: last.response, reason: last.problem.reason };
    throw new PouwError('gave_up', message, details);
  }
}

/** Whether the unit of a refusal has expired since it came. */
function isStale({ problem, receivedAt }: Refusal): boolean {
  const ttlMs = problem.unit?.ttlMs;
  return typeof ttlMs === 'number' && ttlMs > 0 && monotonicMs() - receivedAt >= ttlMs;
}
