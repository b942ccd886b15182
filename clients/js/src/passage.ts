import { discard } from './body.js';
import type { Origins } from './origins.js';
import type { Pass } from './pass.js';
import { ownOrigin } from './place.js';
import { REDIRECTS_MAX, redirectTarget, tooManyRedirects } from './redirects.js';
import type { Repeatable } from './request.js';
import type { Answer, Sendable, Sent } from './sendable.js';

/** The units that this package computes beside those of one hash, for `X-PoUW-Accept`. */
export const ABILITIES = { 'X-PoUW-Accept': 'subtree_hash' };

/** The headers of an answer. */
export function answerHeaders({ token, result }: Answer): Record<string, string> {
  return { 'X-PoUW-Response': token, 'X-PoUW-Result': result };
}

/** A request of `fetch`, with the headers of the protocol that it may have. */
export class Passage implements Sendable {
  readonly blind = false;
  #request: Repeatable;
  #origins: Origins;
  #announce: boolean;

  /** `announce` is false if requests are not to say which units the client can compute. */
  constructor(request: Repeatable, origins: Origins, announce: boolean) {
    [this.#request, this.#origins, this.#announce] = [request, origins, announce];
  }

  get url(): string {
    return this.#request.url;
  }

  get origin(): string {
    return this.#request.origin;
  }

  get signal(): AbortSignal | undefined {
    return this.#request.signal;
  }

  get hasPass(): boolean {
    return this.#pass() !== undefined;
  }

  async ask(signal?: AbortSignal): Promise<Sent> {
    const pass = this.#pass();
    if (pass === undefined) return this.#plainly(signal);
    // What cannot carry it in a header has it in the cookie, in place of another one.
    if (pass.byCookie || (!this.#mayCarry() && pass.enterCookie())) return this.#plainly(signal, pass);
    return this.#mayCarry() ? this.#withPass(pass, signal) : this.#plainly(signal);
  }

  answer(signal: AbortSignal, answer: Answer): () => Promise<Response> {
    const send = this.#request.prepare(signal, { ...this.#abilities(true), ...answerHeaders(answer) });
    return async () => {
      const response = await send();
      this.#origins.learn(this.#request, response);
      return response;
    };
  }

  redirectedTo(url: string): Sendable {
    return this.#like(this.#request.redirectedTo(url));
  }

  #like(request: Repeatable): Passage {
    return new Passage(request, this.#origins, this.#announce);
  }

  /**
   * Sends it with a pass. `fetch` would take the header along to another origin, so redirects are not left to it: they
   * are followed here, each with the pass of its own origin.
   */
  async #withPass(pass: Pass, signal: AbortSignal | undefined): Promise<Sent> {
    let [passage, used, arrive]: [Passage, Pass | undefined, () => void] = [this, pass, pass.depart()];
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
      const request = passage.#request;
      const headers = { ...passage.#abilities(true), ...(used && { 'X-PoUW-Pass': used.name }) };
      const redirect = request.follows ? 'manual' : undefined;
      let response: Response;
      try {
        response = await request.prepare(signal, headers, redirect)();
      } catch (error) {
        if (signal?.aborted || request.signal?.aborted || used === undefined) throw error;
        return await passage.#withoutHeader(signal, used, error);
      } finally {
        arrive();
      }
      this.#origins.learn(request, response);
      // A page cannot see where that leads: `fetch` follows, without the header.
      if (response.type === 'opaqueredirect' && response.status === 0 && request.follows)
        return passage.#plainly(signal);
      const target = request.follows ? redirectTarget(response, request) : undefined;
      if (target === undefined) return { response, request: passage, pass: used };
      discard(response);
      passage = this.#like(request.redirectedBy(response.status, target));
      used = passage.#pass();
      arrive = used?.depart() ?? (() => {});
    }
    arrive();
    throw tooManyRedirects(this.url);
  }

  /**
   * Sends it again after a network error: another origin may send a pass to a page and not allow its header. The pass
   * is of no use if it gets a response without.
   */
  async #withoutHeader(signal: AbortSignal | undefined, pass: Pass, error: unknown): Promise<Sent> {
    if (!mayRepeat(this.#request) || this.origin === ownOrigin()) throw error;
    const sent = await this.#plainly(signal);
    this.#origins.forget(this.origin, pass);
    return sent;
  }

  /** Sends it without a pass, or with one that the browser adds. */
  async #plainly(signal: AbortSignal | undefined, pass?: Pass): Promise<Sent> {
    const response = await this.#request.prepare(signal, this.#abilities(false))();
    this.#origins.learn(this.#request, response);
    // Another tab may have put another one into the cookie meanwhile.
    return { response, request: this, pass: pass?.byCookie ? pass : undefined };
  }

  /** The pass that it can be sent with. */
  #pass(): Pass | undefined {
    const pass = this.#origins.pass(this.#request);
    return pass?.mayBeCookie || this.#mayCarry() ? pass : undefined;
  }

  /**
   * Whether the header of a pass may be added. In a page `fetch` does not say where a redirect leads, so there the
   * request must be one that may be sent once more, or one that follows no redirects.
   */
  #mayCarry(): boolean {
    if (ownOrigin() === undefined) return true;
    return !this.#request.isNoCors && (mayRepeat(this.#request) || !this.#request.follows);
  }

  /**
   * `X-PoUW-Accept`, where it does no harm. To another origin than the page's own it would need a permission that only
   * a server with a limiter gives: it is added if that is known, and if the request needs a permission already.
   */
  #abilities(withOthers: boolean): Record<string, string> {
    if (!this.#announce) return {};
    const own = ownOrigin();
    const mayAdd =
      own === undefined ||
      own === this.origin ||
      (!this.#request.isNoCors &&
        (withOthers || (this.#origins.isLimited(this.origin) && !this.#request.isSimple)));
    return mayAdd ? ABILITIES : {};
  }
}

/** Whether a page may send the request a second time without being asked. */
function mayRepeat({ method }: Repeatable): boolean {
  return ownOrigin() !== undefined && (method === 'GET' || method === 'HEAD');
}
