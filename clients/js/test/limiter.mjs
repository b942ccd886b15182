// A server in this process that speaks the wire protocol: a limit, challenges bound to tokens, answers in the header.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { oracle, subtree, unit } from './units.mjs';

/** Starts a server around a handler, after `prepare`; it is closed when the test ends. */
export async function serve(t, handler, prepare = () => {}) {
  const server = createServer(handler);
  prepare(server);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/** A refusal as the limiter writes it. */
export function refuse(response, status, reason, { headers = {}, workUnit } = {}) {
  response.writeHead(status, {
    'Content-Type': 'application/problem+json',
    ...(workUnit && { 'X-PoUW-Challenge': workUnit.challengeToken, 'Retry-After': '60' }),
    ...headers,
  });
  const detail = `about ${reason}`;
  response.end(JSON.stringify({ type: 'about:blank', title: 'No', status, detail, reason, workUnit }));
}

export async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

/** Reads the compact form of a result. */
function readCompact(text) {
  const bytes = Buffer.from(text, 'base64url');
  const id = bytes.toString('hex', 1, 17).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  const [computeMs, completedAt] = [bytes.readBigUInt64LE(81), bytes.readBigUInt64LE(89)];
  const sound =
    computeMs < 2n ** 53n && completedAt <= 253_402_207_199_999n && bytes.length === 98 + 64 * bytes[97];
  const leafHashes = Array.from({ length: bytes[97] }, (_, i) =>
    bytes.toString('hex', 98 + 64 * i, 162 + 64 * i),
  );
  return { sound: sound && bytes[0] === 1, id, resultHash: bytes.toString('hex', 17, 81), leafHashes };
}

/** What a limiter saw. */
export class Limiter {
  rate;
  waitMs;
  /** Challenges that may be open at once; beyond, `budget`. */
  openMax;
  /** Requests that an answer buys, and for how many seconds. */
  buys;
  open = new Map();
  /** Requests left, by the name of a pass. */
  passes = new Map();
  /** The policy of each pass. */
  bound = new Map();
  /** Names the policy of a request; without it there is one, which is not named. */
  policyOf;
  /** No pass is taken, and no work given. */
  ceiling = false;
  /** Method, path, body and whether there was an answer, of each request. */
  seen = [];
  admitted = 0;
  solved = 0;
  early = 0;

  constructor({ rate = 0, waitMs = 0, openMax = 64, buys = [1, 0] } = {}) {
    Object.assign(this, { rate, waitMs, openMax, buys });
  }

  handler = async (request, response) => {
    const { headers, method, url } = request;
    const payload = await body(request);
    const token = headers['x-pouw-response'];
    this.seen.push({ method, url, body: payload.toString(), answered: token !== undefined, headers });
    this.name(request, response);
    if (token !== undefined) return this.judge(token, headers['x-pouw-result'], payload, response);
    if (this.admitted < this.rate) {
      this.admitted += 1;
      return this.inner(payload, response);
    }
    const pass = headers['x-pouw-pass'];
    if (this.take(pass)) return this.inner(payload, response, this.left(pass));
    if (this.ceiling) return refuse(response, 429, 'ceiling', { headers: { 'Retry-After': '0' } });
    if (this.open.size >= this.openMax)
      return refuse(response, 429, 'budget', { headers: { 'Retry-After': '50' } });
    return this.challenge(response, 'work_required');
  };

  /** Names the policy of a request in the response. */
  name({ method, url }, response) {
    this.policy = this.policyOf?.(method, url);
    if (this.policy !== undefined) response?.setHeader('RateLimit-Policy', `"${this.policy}";q=1;w=60`);
  }

  /** Takes a request from a pass, if it is one of the policy that was named last. */
  take(pass) {
    const left = this.passes.get(pass) ?? 0;
    if (left === 0 || this.ceiling || this.bound.get(pass) !== this.policy) return false;
    this.passes.set(pass, left - 1);
    return true;
  }

  challenge(response, reason) {
    const leaves = Array.from({ length: 4 }, () => randomBytes(300));
    const workUnit =
      this.open.size % 2 ? subtree(leaves, 2, { waitMs: this.waitMs }) : unit({ waitMs: this.waitMs });
    this.open.set(workUnit.challengeToken, { workUnit, issued: performance.now() });
    refuse(response, 429, reason, { workUnit });
  }

  judge(token, result, payload, response) {
    const challenge = this.open.get(token);
    if (challenge === undefined) return refuse(response, 403, 'token_replayed');
    if (performance.now() - challenge.issued < this.waitMs) {
      this.early += 1;
      return refuse(response, 429, 'too_early', {
        headers: { 'Retry-After': '1', 'X-PoUW-Challenge': token },
      });
    }
    const { workUnit } = challenge;
    const { sound, id, resultHash, leafHashes } = readCompact(result);
    const right = oracle(workUnit);
    if (!sound || id !== workUnit.id) return refuse(response, 400, 'malformed');
    this.open.delete(token);
    if (resultHash !== right.resultHash || String(leafHashes) !== String(right.leafHashes ?? [])) {
      return this.challenge(response, 'wrong_result');
    }
    this.solved += 1;
    const pass = randomBytes(16).toString('base64url');
    if (this.buys[0] > 1) this.passes.set(pass, this.buys[0] - 1);
    this.bound.set(pass, this.policy);
    const award = { 'X-PoUW-Accepted': 'true', 'X-PoUW-Joule-Award': '1250' };
    this.inner(payload, response, { ...award, ...this.left(pass) });
  }

  /** The header about a pass. */
  left(pass) {
    return this.passes.has(pass)
      ? { 'X-PoUW-Pass': `${pass};r=${this.passes.get(pass)};t=${this.buys[1]}` }
      : {};
  }

  inner(payload, response, headers = {}) {
    response.writeHead(200, { 'Content-Type': 'text/plain', ...headers });
    response.end(`hello ${payload}`);
  }
}

/** A limiter behind a server, and a client that is closed when the test ends. */
export async function limited(t, createPouwClient, settings, options) {
  const limiter = new Limiter(settings);
  const url = await serve(t, limiter.handler);
  const client = createPouwClient({ deadlineMs: 20_000, ...options });
  t.after(() => client.close());
  return { limiter, url, client };
}

/** The error of a promise that has to be rejected, and how long that took. */
export async function rejection(promise) {
  const started = performance.now();
  const outcome = await promise.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );
  if (!('error' in outcome)) throw new Error(`resolved with ${outcome.value?.status ?? outcome.value}`);
  return { error: outcome.error, ms: performance.now() - started };
}
