// A site behind the limiter: a start page with a form, and a long page that is limited. Every request reaches the
// limiter as the browser sent it; what comes of one that it lets through is this site's.
import { createServer, request } from 'node:http';

const START = `<!doctype html><title>start</title><form method="post" action="/echo">
  <input name="word" id="word"><button id="send">send</button></form>`;
const LONG = `<!doctype html><title>through</title><div id="tall"></div>
  <link rel="stylesheet" href="/tall.css"><p id="low">low</p><div id="tall"></div>`;

/** Starts it in front of a limiter at `url`. `posts` has the bodies that arrived, and whether each went through. */
export async function behind(t, url) {
  const site = { posts: [], asked: 0, url: '' };
  const server = createServer(async (asked, response) => {
    if (asked.url === '/start') return html(response, START);
    if (asked.url === '/tall.css') {
      response.writeHead(200, { 'Content-Type': 'text/css' });
      return response.end('#tall { height: 3000px }');
    }
    const body = await read(asked);
    const posted = asked.method === 'POST';
    const { method, headers } = asked;
    request(url + asked.url, { method, headers, agent: false }, async (reply) => {
      const text = await read(reply);
      if (!/^\/(?:hello|echo)/.test(asked.url)) {
        response.writeHead(reply.statusCode, reply.headers);
        return response.end(text);
      }
      site.asked += 1;
      const through = reply.statusCode === 200;
      if (posted) site.posts.push([body.toString(), through]);
      if (!through) return html(response, text, reply.headers, reply.statusCode);
      // The limiter's own service gives a form back as it came.
      return html(response, posted ? `<title>through</title>${text}` : LONG, reply.headers);
    })
      .on('error', () => response.destroy())
      .end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  site.url = `http://127.0.0.1:${server.address().port}`;
  return site;
}

async function read(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

function html(response, text, headers = {}, status = 200) {
  const { 'content-length': _, 'transfer-encoding': __, ...kept } = headers;
  const body = Buffer.from(text);
  response.writeHead(status, { ...kept, 'Content-Type': 'text/html', 'Content-Length': body.length });
  response.end(body);
}
