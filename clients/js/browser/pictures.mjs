// A site with images behind the real limiter, for browsers.
import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { serve } from './harness.mjs';

export const IMAGES = 40;
const SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>";
const PAGE = `<!doctype html><title>through</title>
  ${Array.from({ length: IMAGES }, (_, at) => `<img src="/image/${at}">`).join('')}`;

/** A site with a page of images behind a limit, which is used up. Every request asks the limiter. */
export async function pictures(t, { rate = 5, floor = 300 } = {}) {
  const options = ['--challenge-page', '--rate', String(rate), '--floor', `${floor},${floor},${floor}`];
  const limiter = await serve(t, { options });
  for (let i = 0; i < rate; i++) assert.equal((await fetch(`${limiter.url}/hello`)).status, 200);
  const seen = { pages: 0, images: 0, ledger: () => limiter.ledger() };
  const server = createServer((asked, response) => {
    const image = asked.url.startsWith('/image/');
    const path = image || asked.url === '/' ? '/hello' : asked.url;
    request(limiter.url + path, { headers: asked.headers, agent: false }, (reply) => {
      const { 'content-length': _, 'transfer-encoding': __, ...headers } = reply.headers;
      if (reply.statusCode !== 200 || path !== '/hello') {
        response.writeHead(reply.statusCode, reply.headers);
        return reply.pipe(response);
      }
      reply.resume();
      seen[image ? 'images' : 'pages'] += 1;
      response.writeHead(200, { ...headers, 'content-type': image ? 'image/svg+xml' : 'text/html' });
      return response.end(image ? SVG : PAGE);
    })
      .on('error', () => response.destroy())
      .end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  seen.url = `http://127.0.0.1:${server.address().port}/`;
  return seen;
}
