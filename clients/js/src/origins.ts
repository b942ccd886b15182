import { originOf, ownOrigin, removeCookie, setCookie } from './place.js';
import { monotonicMs } from './time.js';

/** The most origins that are remembered; beyond, the one that was used longest ago is forgotten. */
const ORIGINS_MAX = 64;

const PASS = /^([\w-]{1,64});r=(\d{1,9});t=(\d{1,9})$/;

/** Requests that an answer bought beside its own. Requests under way at the same time share it. */
export class Pass {
  readonly name: string;
  /** The browser sends it, in a cookie, and the server alone counts. */
  readonly byCookie: boolean;
  #left: number;
  #until: number;
  #sending = 0;

  constructor(name: string, left: number, until: number, byCookie: boolean) {
    [this.name, this.byCookie] = [name, byCookie];
    [this.#left, this.#until] = [left, until];
  }

  /** Whether there is something left of it for one more request. */
  get usable(): boolean {
    return monotonicMs() < this.#until && (this.byCookie || this.#sending < this.#left);
  }

  /** Counts a request sent with it, until the function that is returned is called. */
  depart(): () => void {
    this.#sending += 1;
    return () => (this.#sending -= 1);
  }

  /** What a response says is left. Responses overtake each other, and it never becomes more. */
  narrow(left: number, until: number): void {
    [this.#left, this.#until] = [Math.min(this.#left, left), Math.min(this.#until, until)];
  }
}

interface Known {
  pass?: Pass;
}

/** What a client knows of the servers that it asked: that they have a limiter, and a pass. Bounded. */
export class Origins {
  #known = new Map<string, Known>();
  #keeps: boolean;

  /** `keeps` is false if no pass is to be used. */
  constructor(keeps: boolean) {
    this.#keeps = keeps;
  }

  /** Returns whether there is a limiter of this protocol, as far as is known. */
  isLimited(origin: string): boolean {
    return this.#known.has(origin);
  }

  /** Returns the pass for the next request. */
  pass(origin: string): Pass | undefined {
    const pass = this.#known.get(origin)?.pass;
    return pass?.usable ? pass : undefined;
  }

  /** Reads a response to a request to this origin, which a redirect may have led to another one. */
  learn(origin: string, { headers, url }: Response): void {
    const [, name, left, seconds] = PASS.exec(headers.get('x-pouw-pass') ?? '') ?? [];
    if (name === undefined) return;
    const from = (url && originOf(url)) || origin;
    const known = this.#touch(from);
    if (!this.#keeps) return;
    const until = monotonicMs() + Number(seconds) * 1000;
    if (known.pass?.name === name) return known.pass.narrow(Number(left), until);
    if (Number(left) === 0 || Number(seconds) === 0) return;
    // A cookie goes along with everything that a page sends to its own host, and with nothing else.
    const byCookie = from === ownOrigin() && setCookie('pass', name, Number(seconds));
    known.pass = new Pass(name, Number(left), until, byCookie);
  }

  /** There was a refusal of the limiter; the pass of that request, if it had one, is of no use any more. */
  refused(origin: string, pass?: Pass): void {
    this.#touch(origin);
    if (pass !== undefined) this.forget(origin, pass);
  }

  /** Forgets a pass. */
  forget(origin: string, pass: Pass): void {
    const known = this.#known.get(origin);
    if (known?.pass !== pass) return;
    delete known.pass;
    if (pass.byCookie) removeCookie('pass');
  }

  #touch(origin: string): Known {
    const known = this.#known.get(origin) ?? {};
    this.#known.delete(origin);
    this.#known.set(origin, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= ORIGINS_MAX) break;
      this.#known.delete(oldest);
    }
    return known;
  }
}
