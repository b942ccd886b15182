// A server of event streams and web sockets behind a limit, as the wire protocol has it.
import { createHash } from 'node:crypto';
import { WebSocket } from 'undici';
import { createPouwClient } from '../dist/index.js';
import { Limiter, refuse, serve } from './limiter.mjs';

const COOKIE = /(?:^|; )pouw-answer=([\w-]+)\.([\w-]+)/;

/** What the head of a request says of an answer: in headers, or in the cookie. */
function answerIn({ headers }) {
  const [, token, result] = COOKIE.exec(headers.cookie ?? '') ?? [];
  return {
    token: headers['x-pouw-response'] ?? token,
    result: headers['x-pouw-result'] ?? result,
    byCookie: headers['x-pouw-response'] === undefined && token !== undefined,
  };
}

/** A limiter for streams: `/events` has events, `/socket` is a web socket that sends a word and echoes. */
export class Streams extends Limiter {
  /** Kind, answer, and whether it was opened, of each request. */
  log = [];
  /** Seconds to wait after a refusal without work. */
  retryAfter = 1;
  sources = new Set();
  sockets = new Set();

  handle = (request, response) => {
    const events = request.headers.accept === 'text/event-stream' && request.headers.upgrade === undefined;
    if (!events) return this.handler(request, response);
    const asks = request.headers['x-pouw-accept'] !== undefined;
    const kind = asks ? 'challenge' : 'events';
    this.decide(
      request,
      kind,
      {
        through: (headers) => this.stream(request, response, headers),
        refused: (reason) =>
          asks && reason === 'cannot_answer'
            ? this.challenge(response, 'work_required')
            : refuse(response, 429, reason, { headers: { 'Retry-After': this.retryAfter } }),
      },
      response,
    );
  };

  upgrade = (request, socket) => {
    this.decide(request, 'socket', {
      through: (headers) => this.connect(request, socket, headers),
      refused: () =>
        socket.end('HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n'),
    });
  };

  /** An answer is judged; without one the limit decides, or a pass. */
  decide(request, kind, { through, refused }, response) {
    const { token, result, byCookie } = answerIn(request);
    this.name(request, response);
    const note = (opened) =>
      this.log.push(`${kind} ${token ? (byCookie ? 'cookie' : 'header') : '-'} ${opened}`);
    if (token !== undefined) {
      const admit = (_, __, headers) => {
        note(true);
        through({ ...headers, ...(byCookie && { 'Set-Cookie': 'pouw-answer=; Path=/; Max-Age=0' }) });
      };
      const { inner } = this;
      this.inner = admit;
      try {
        const silent = { writeHead: () => {}, end: () => {} };
        const before = this.solved;
        this.judge(token, result, Buffer.alloc(0), silent);
        if (this.solved > before) return;
      } finally {
        this.inner = inner;
      }
    }
    if (this.take(request.headers['x-pouw-pass'])) {
      note(true);
      return through({});
    }
    if (this.admitted < this.rate) {
      this.admitted += 1;
      note(true);
      return through({});
    }
    note(false);
    return refused(this.reason ?? 'cannot_answer');
  }

  stream(request, response, headers) {
    const asked = new URL(request.url, 'http://x').searchParams.get('after');
    response.writeHead(200, { 'Content-Type': 'text/event-stream', ...headers });
    response.write(`retry: 20\nid: 7\ndata: first ${asked ?? ''}\n\nevent: named\ndata: second\n\n`);
    this.sources.add(response);
    response.on('close', () => this.sources.delete(response));
  }

  connect(request, socket, headers) {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    const protocol = request.headers['sec-websocket-protocol']?.split(',')[0];
    const lines = Object.entries({
      Upgrade: 'websocket',
      Connection: 'Upgrade',
      'Sec-WebSocket-Accept': accept,
      ...(protocol && { 'Sec-WebSocket-Protocol': protocol }),
      ...headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = Buffer.from(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
    // With the first word in the same packet.
    socket.write(Buffer.concat([head, frame('first')]));
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('data', (data) => {
      const [opcode, length] = [data[0] & 15, data[1] & 127];
      if (opcode === 8) return socket.end(Buffer.from([0x88, 0]));
      const [mask, payload] = [data.subarray(2, 6), data.subarray(6, 6 + length)];
      socket.write(frame(payload.map((byte, i) => byte ^ mask[i % 4])));
    });
  }
}

/** A frame with a text. */
function frame(text) {
  const payload = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x81, payload.length]), payload]);
}

/** Starts a server of streams; `other` handles what is neither. */
export async function streams(t, settings, other) {
  const limiter = new Streams(settings);
  // Before the server ends, which waits for them.
  t.after(() => [...limiter.sockets].forEach((socket) => socket.destroy()));
  const url = await serve(
    t,
    (request, response) => (other?.(request, response) ? undefined : limiter.handle(request, response)),
    (server) => server.on('upgrade', limiter.upgrade),
  );
  return { limiter, url };
}

/** A small `EventSource` that takes headers, and may take a `fetch` in place of the usual one. */
export class Source extends EventTarget {
  readyState = 0;
  #end = new AbortController();

  constructor(url, headers, fetcher = fetch) {
    super();
    this.url = url;
    void this.#run(url, headers, fetcher);
  }

  close() {
    this.readyState = 2;
    this.#end.abort();
  }

  async #run(url, headers, fetcher) {
    const { signal } = this.#end;
    try {
      const response = await fetcher(url, { headers: { ...headers, Accept: 'text/event-stream' }, signal });
      if (response.status !== 200) throw new Error('refused');
      this.readyState = 1;
      this.dispatchEvent(new Event('open'));
      let id = '';
      for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
        for (const block of part.split('\n\n').filter(Boolean)) {
          const {
            data,
            event = 'message',
            ...rest
          } = Object.fromEntries(block.split('\n').map((line) => line.split(': ')));
          id = rest.id ?? id;
          this.dispatchEvent(new MessageEvent(event, { data, lastEventId: id }));
        }
      }
    } catch {
      // Refused or lost; this one does not connect again.
    }
    if (signal.aborted) return;
    this.readyState = 2;
    this.dispatchEvent(new Event('error'));
  }
}

export const open = (url, protocols, headers) => new WebSocket(url, { protocols, headers });
export const ws = (url, path = '/socket') => url.replace('http', 'ws') + path;
/** The next event; not with `once` of Node, which also hears events that were stopped. */
export const next = (target, name) =>
  new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(10_000);
    signal.addEventListener('abort', () => reject(new Error(`no event ${name} came`)));
    target.addEventListener(name, resolve, { once: true, signal });
  });

export const openSource = (url, headers) => new Source(url, headers);

export function clientFor(t, options) {
  const client = createPouwClient({ deadlineMs: 10_000, ...options });
  t.after(() => client.close());
  const events = [];
  for (const name of ['challenge', 'solved', 'waiting', 'accepted', 'failed'])
    client.addEventListener(name, ({ detail }) => events.push([name, detail]));
  return { client, events, names: () => events.map(([name]) => name) };
}
