// A site with an event stream and a web socket behind the limiter: it decides on each opening, from the head as the
// browser sent it, and the site opens what it lets through.
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { Streams } from '../test/streams.mjs';

const TYPES = { js: 'text/javascript', wasm: 'application/wasm' };

/**
 * Starts it in front of a limiter at `url`. Its page `/` runs `work`, a function that gets the package, and shows what
 * that returns. `openings` has the kind, the status, and which cookies came, of each opening.
 */
export async function streaming(t, url, work) {
  const site = new Streams();
  site.openings = [];
  const ask = (asked, kind, refused, through) => {
    request(`${url}/hello`, { headers: asked.headers, agent: false }, (reply) => {
      const { 'set-cookie': cookies } = reply.headers;
      const came = [...(asked.headers.cookie ?? '').matchAll(/pouw-(\w+)=/g)].map(([, name]) => name);
      site.openings.push([kind, reply.statusCode, ...came].join(' '));
      if (reply.statusCode !== 200) return refused(reply);
      reply.resume();
      return through(cookies === undefined ? {} : { 'Set-Cookie': cookies });
    })
      .on('error', () => asked.destroy())
      .end();
  };
  const send = (reply, response) => {
    response.writeHead(reply.statusCode, reply.headers);
    reply.pipe(response);
  };
  const server = createServer((asked, response) => {
    const file = /^\/dist\/([\w.-]+)$/.exec(asked.url)?.[1];
    if (file !== undefined) {
      response.writeHead(200, { 'Content-Type': TYPES[file.split('.').at(-1)] });
      return response.end(readFileSync(new URL(`../dist/${file}`, import.meta.url)));
    }
    if (asked.url === '/') {
      response.writeHead(200, { 'Content-Type': 'text/html' });
      return response.end(`<!doctype html><link rel=icon href=data:,><title></title><script type=module>
        import * as pouw from '/dist/pouw.js';
        const told = await (${work})(pouw).catch((error) => String(error));
        document.title = JSON.stringify(told);</script>`);
    }
    const isStream = asked.headers.accept === 'text/event-stream' && !('x-pouw-accept' in asked.headers);
    const kind = asked.url === '/events' && isStream ? 'events' : 'fetch';
    const refused = (reply) => send(reply, response);
    if (kind === 'events')
      return ask(asked, kind, refused, (headers) => site.stream(asked, response, headers));
    request(`${url}/hello`, { headers: asked.headers, agent: false }, refused).end();
  });
  server.on('upgrade', (asked, socket) => {
    const refused = ({ statusCode }) =>
      socket.end(`HTTP/1.1 ${statusCode} Refused\r\nContent-Length: 0\r\n\r\n`);
    ask(asked, 'socket', refused, (headers) => site.connect(asked, socket, headers));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  t.after(() => [...site.sockets].forEach((socket) => socket.destroy()));
  site.url = `http://127.0.0.1:${server.address().port}`;
  return site;
}
