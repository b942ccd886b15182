// The paper's section 9.3: how long the work of each tier takes, and how long it is from the 429 to admission, in Node
// and in the browsers that are here. Prints a table, and writes it to evaluation.md and evaluation.json beside this file.
// Arguments: UNITS SAMPLES, 1 000 and 20 unless given.
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, request as forward } from 'node:http';
import { cpus, release, totalmem, type } from 'node:os';
import { computeWorkUnit, createPouwClient } from '../dist/index.js';
import { Server } from '../test/server.mjs';
import { admissionTimes, computeTimes } from './evaluation.mjs';
import { binary, launchChromium } from './harness.mjs';
import { Firefox, firefox } from './marionette.mjs';

const [units = 1_000, samples = 20] = process.argv.slice(2).map(Number);
/** Seconds that the paper wants a client to wait. */
const TARGETS = { low: [1, 2], medium: [3, 5], high: [5, 10] };
const TIERS = Object.keys(TARGETS);

/** A server whose clients begin and stay at that tier; what stands before an answer is as it is by default. */
function serverAt(tier) {
  return Server.start(binary(), {
    files: [8 << 20],
    settings: `default_difficulty = "${tier}"\nmax_difficulty = "${tier}"\ntrusted_proxies = ["127.0.0.0/8"]\n`,
    options: ['--rate', '1'],
  });
}

/** A unit as the server hands it out at that tier. */
async function shapeOf({ url }, tier) {
  const headers = { 'X-Forwarded-For': '192.0.2.1' };
  await fetch(`${url}/hello`, { headers });
  const { workUnit } = await (await fetch(`${url}/hello`, { headers })).json();
  if (workUnit?.difficulty !== tier)
    throw new Error(`the server gives ${workUnit?.difficulty} instead of ${tier}`);
  return workUnit;
}

/** Another unit of that shape, with data of its own. */
function another(shape) {
  const bytes = Buffer.byteLength(shape.inputData, 'base64');
  return { ...shape, id: randomUUID(), inputData: randomBytes(bytes).toString('base64') };
}

const servers = Object.fromEntries(
  await Promise.all(TIERS.map(async (tier) => [tier, await serverAt(tier)])),
);
const shapes = Object.fromEntries(
  await Promise.all(TIERS.map(async (tier) => [tier, await shapeOf(servers[tier], tier)])),
);

// Every sample of every place is a client of its own, in a network of its own.
let places = 0;
const addresses = (place) => (at) => `10.${place}.${at}.1`;

async function measure(computeIn, admitIn) {
  const place = ++places;
  const compute = {};
  for (const tier of TIERS) compute[tier] = await computeIn(tier);
  const admitted = await Promise.all(TIERS.map((tier) => admitIn(tier, addresses(place))));
  return { compute, admission: Object.fromEntries(TIERS.map((tier, at) => [tier, admitted[at]])) };
}

const inNode = () =>
  measure(
    (tier) => computeTimes(computeWorkUnit, () => another(shapes[tier]), units),
    (tier, addressOf) => admissionTimes(createPouwClient, `${servers[tier].url}/hello`, samples, addressOf),
  );

/** Pages whose clock is fine enough, the package, units, and the way to the servers. */
const files = { 'evaluation.mjs': new URL('evaluation.mjs', import.meta.url) };
for (const name of ['pouw.js', 'worker.js', 'pouw.wasm'])
  files[name] = new URL(`../dist/${name}`, import.meta.url);
const web = createServer((asked, response) => {
  const [kind, tier] = asked.url.slice(1).split('/');
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
  if (kind === '')
    return response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>pouw</title>');
  if (kind === 'unit') return response.end(JSON.stringify(another(shapes[tier])));
  if (kind === 'hello') {
    const { headers } = asked;
    return forward(`${servers[tier].url}/hello`, { headers, agent: false }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    }).end();
  }
  if (!(kind in files)) return response.writeHead(404).end();
  response.setHeader('Content-Type', kind.endsWith('.wasm') ? 'application/wasm' : 'text/javascript');
  response.end(readFileSync(files[kind]));
});
await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
const site = `http://127.0.0.1:${web.address().port}`;

/** In a page that `evaluate` runs functions in. */
const inPage = (evaluate) =>
  measure(
    (tier) =>
      evaluate(
        async ([tier, units]) => {
          if (!globalThis.crossOriginIsolated) throw new Error('the clock of the page is coarse');
          const [{ computeWorkUnit }, { computeTimes }] = await Promise.all([
            import('/pouw.js'),
            import('/evaluation.mjs'),
          ]);
          return computeTimes(computeWorkUnit, async () => (await fetch(`/unit/${tier}`)).json(), units);
        },
        [tier, units],
      ),
    (tier, addressOf) =>
      evaluate(
        async ([tier, samples, addresses]) => {
          const [{ createPouwClient }, { admissionTimes }] = await Promise.all([
            import('/pouw.js'),
            import('/evaluation.mjs'),
          ]);
          return admissionTimes(createPouwClient, `/hello/${tier}`, samples, (at) => addresses[at]);
        },
        [tier, samples, Array.from({ length: samples }, (_, at) => addressOf(at))],
      ),
  );

async function inChromium() {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(site);
    return [`Chromium ${browser.version()}`, await inPage((work, given) => page.evaluate(work, given))];
  } finally {
    await browser.close();
  }
}

async function inFirefox() {
  const browser = await Firefox.launch();
  try {
    await browser.goto(site);
    const version = await browser.evaluate(() =>
      /Firefox\/\S+/.exec(navigator.userAgent)[0].replace('/', ' '),
    );
    return [version, await inPage((work, given) => browser.evaluate(work, given))];
  } finally {
    await browser.close();
  }
}

function quantiles(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return { p50: at(0.5), p99: at(0.99), longest: sorted.at(-1) };
}

const results = [];
try {
  const runs = [async () => [`Node ${process.versions.node}`, await inNode()], inChromium];
  if (firefox() !== undefined) runs.push(inFirefox);
  for (const run of runs) {
    const [place, { compute, admission }] = await run();
    for (const tier of TIERS) {
      const { nodeCount, inputData } = shapes[tier];
      const bytes = Buffer.byteLength(inputData, 'base64');
      const [computeMs, admissionMs] = [compute[tier], admission[tier]].map(quantiles);
      results.push({ place, tier, nodeCount, bytes, units, samples, computeMs, admissionMs });
    }
  }
} finally {
  web.closeAllConnections();
  web.close();
  await Promise.all(Object.values(servers).map((server) => server.close()));
}

const machine = `${cpus().length} cores of ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}`;
const ms = (value) => value.toFixed(value < 10 ? 2 : 0);
const seconds = (value) => (value / 1000).toFixed(2);
const lines = [
  `${machine}. ${units} units for each tier, computed one after the other; ${samples} requests for each tier, over`,
  'the limit at once, each of a client of its own, with the floors that are the default.',
  '',
  '| where | tier | hashes | KiB | compute p50, ms | p99, ms | 429 to admission p50, s | p99, s | the paper asks for, s |',
  '|---|---|---|---|---|---|---|---|---|',
  ...results.map(({ place, tier, nodeCount, bytes, computeMs, admissionMs }) =>
    [
      '',
      place,
      tier,
      nodeCount,
      Math.round(bytes / 1024),
      ms(computeMs.p50),
      ms(computeMs.p99),
      seconds(admissionMs.p50),
      seconds(admissionMs.p99),
      TARGETS[tier].join(' to '),
      '',
    ]
      .join(' | ')
      .trim(),
  ),
];
console.log(lines.join('\n'));
writeFileSync(new URL('evaluation.md', import.meta.url), `${lines.join('\n')}\n`);
writeFileSync(
  new URL('evaluation.json', import.meta.url),
  `${JSON.stringify({ machine, results }, null, 2)}\n`,
);
