import { Pass, type PassLeft } from './pass.js';
import { ownOrigin, whole } from './place.js';
import { Policies, policyOf } from './policies.js';
import { monotonicMs } from './time.js';

/** The most origins that are remembered; beyond, the one that was used longest ago is forgotten. */
const ORIGINS_MAX = 64;
/** The most passes of one origin that are kept; beyond, the oldest is forgotten. */
const PASSES_MAX = 16;

const PASS = /^([\w-]{1,64});r=(\d{1,9});t=(\d{1,9})$/;

/** Where a request goes. */
export interface Target {
  readonly method: string;
  /** Absolute or relative. */
  readonly url: string;
  readonly origin: string;
  /** Whether it takes cookies along to this origin, which may make it a request of another client. */
  sendsCookies(origin: string): boolean;
}

/** A pass for each policy, and which policy a request most likely has. */
interface Jar {
  passes: Map<string, Pass>;
  policies: Policies;
}

/** One for requests with cookies and one for those without. */
type Known = Record<'with' | 'without', Jar>;

/** What a client knows of the servers that it asked: that they have a limiter, and the passes. Bounded. */
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

  /** Returns the pass for a request, by the policy that it most likely has. */
  pass(target: Target): Pass | undefined {
    const known = this.#known.get(target.origin);
    if (known === undefined) return undefined;
    const { passes, policies } = jarOf(known, target, target.origin);
    const path = addressOf(target)?.pathname ?? '';
    const policy = policies.guess(target.method, path, (policy) => passes.get(policy)?.usable ?? false);
    const pass = passes.get(policy ?? '') ?? passes.get('');
    return pass?.usable ? pass : undefined;
  }

  /** Reads a response to a request, which a redirect may have led to another origin. */
  learn(target: Target, { headers, url }: Response): void {
    const address = addressOf(target, url);
    const origin = address?.origin ?? target.origin;
    const left = passLeft(headers);
    // A service without this limiter may name policies of its own.
    const known = left === undefined ? this.#known.get(origin) : this.#touch(origin);
    if (known === undefined) return;
    const { passes, policies } = jarOf(known, target, origin);
    const policy = policyOf(headers);
    if (policy !== '') policies.learn(target.method, address?.pathname ?? '', policy);
    if (left === undefined || !this.#keeps) return;
    const same = [...passes.values()].find(({ name }) => name === left.name);
    if (same !== undefined) return same.narrow(left);
    if (left.requests === 0 || left.until <= monotonicMs()) return;
    passes.get(policy)?.leaveCookie();
    passes.delete(policy);
    // A cookie goes along with what a page sends to its own host, and with nothing else.
    const mayBeCookie = origin === ownOrigin() && target.sendsCookies(origin);
    passes.set(policy, new Pass(left, policy, mayBeCookie));
    const [oldest] = passes.keys();
    if (passes.size > PASSES_MAX) passes.delete(oldest!);
  }

  /**
   * There was a refusal of the limiter, of a request with this pass. If it has work, and is by the policy of the pass,
   * that is of no use any more. Another refusal does not say so: at a ceiling the pass waits too.
   */
  refused(origin: string, { headers }: Response, hasWork: boolean, pass: Pass | undefined): void {
    this.#touch(origin);
    if (pass === undefined || !hasWork) return;
    const policy = policyOf(headers);
    if (policy === '' || policy === pass.policy) this.forget(origin, pass);
  }

  /** Forgets a pass. */
  forget(origin: string, pass: Pass): void {
    const known = this.#known.get(origin);
    for (const { passes } of known === undefined ? [] : [known.with, known.without])
      if (passes.get(pass.policy) === pass) passes.delete(pass.policy);
    pass.leaveCookie();
  }

  #touch(origin: string): Known {
    const known = this.#known.get(origin) ?? { with: emptyJar(), without: emptyJar() };
    this.#known.delete(origin);
    this.#known.set(origin, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= ORIGINS_MAX) break;
      this.#known.delete(oldest);
    }
    return known;
  }
}

function emptyJar(): Jar {
  return { passes: new Map(), policies: new Policies() };
}

function jarOf(known: Known, target: Target, origin: string): Jar {
  return known[target.sendsCookies(origin) ? 'with' : 'without'];
}

/** The address of a response to a request, which may be relative to that of the request or missing. */
function addressOf(target: Target, url = ''): URL | undefined {
  try {
    return new URL(url, whole(target.url));
  } catch {
    return undefined;
  }
}

function passLeft(headers: Headers): PassLeft | undefined {
  const [, name, requests, seconds] = PASS.exec(headers.get('x-pouw-pass') ?? '') ?? [];
  if (name === undefined) return undefined;
  return { name, requests: Number(requests), until: monotonicMs() + Number(seconds) * 1000 };
}
