/** The most requests that are remembered of one server; beyond, the one that was seen longest ago is forgotten. */
const REQUESTS_MAX = 128;
/** The most characters of a policy that are looked at. */
const NAME_MAX = 128;
/** The most characters of a path that are looked at. */
const PATH_MAX = 256;

/** Names the policy that a response was judged by: its name, else its numbers; empty if the response does not say. */
export function policyOf(headers: Headers): string {
  const text = headers.get('ratelimit-policy') ?? headers.get('x-ratelimit-limit') ?? '';
  const [, name] = /^\s*"((?:[^"\\]|\\.)*)"/.exec(text) ?? [];
  return (name ?? text).slice(0, NAME_MAX);
}

interface Seen {
  method: string;
  segments: string[];
  policy: string;
}

/** Which policy of a server judged which requests, by method and path. Bounded. */
export class Policies {
  #seen = new Map<string, Seen>();

  /** Remembers the policy of a request. */
  learn(method: string, whole: string, policy: string): void {
    const path = whole.slice(0, PATH_MAX);
    const key = `${method} ${path}`;
    this.#seen.delete(key);
    this.#seen.set(key, { method, segments: segmentsOf(path), policy });
    for (const oldest of this.#seen.keys()) {
      if (this.#seen.size <= REQUESTS_MAX) break;
      this.#seen.delete(oldest);
    }
  }

  /**
   * Guesses the policy of a request: that of the same request, else of the one whose path has the most segments in
   * common with it. Among equals, one with the same method, then one that `prefers` returns true for, then the last.
   * Undefined if none was seen.
   */
  guess(method: string, path: string, prefers: (policy: string) => boolean): string | undefined {
    const segments = segmentsOf(path.slice(0, PATH_MAX));
    let [best, most]: [string | undefined, number] = [undefined, -1];
    for (const seen of this.#seen.values()) {
      const shared = sharedBy(seen.segments, segments);
      const isSame = shared === segments.length && shared === seen.segments.length;
      const flags = [isSame, seen.method === method, prefers(seen.policy)].map(Number);
      const rank = flags.reduce((rank, flag) => 2 * rank + flag, shared);
      if (rank >= most) [best, most] = [seen.policy, rank];
    }
    return best;
  }
}

function segmentsOf(path: string): string[] {
  return path.split('/').slice(1);
}

function sharedBy(left: string[], right: string[]): number {
  const at = left.findIndex((segment, i) => segment !== right[i]);
  return at < 0 ? left.length : at;
}
