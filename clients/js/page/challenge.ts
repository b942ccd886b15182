/**
 * The page that a browser gets in the place of one that is over the limit. It solves the work that came with it, leaves
 * the answer in a short-lived cookie, and asks for the page again.
 */
import { toCompact, type WorkUnit } from '../src/index.js';
import { definePouwProgress } from '../src/element.js';
import { Solver } from '../src/solver.js';
import { monotonicMs, sleepUntil } from '../src/time.js';
import { validateUnit } from '../src/validate.js';
import { byId, fillTexts, say } from './dom.js';
import { challenge as strings, progress } from './strings.js';

/** What the server wrote into the page. */
interface Given {
  problem: { workUnit?: WorkUnit };
  /** Seconds until it helps to ask again, where there is no work. */
  retryAfter: number;
}

/** How often the page asks again by itself, before a person has to. */
const TRIES_MAX = 3;
const TRIES = 'pouw-tries';

const receivedAt = monotonicMs();
// Stands in for a client: the element follows whoever tells these events.
const events = new EventTarget();
const tell = (name: string, detail: unknown) => events.dispatchEvent(new CustomEvent(name, { detail }));

definePouwProgress();
fillTexts(strings);
document.title = strings.title;
const bar = document.querySelector('pouw-progress');
if (bar !== null) Object.assign(bar, { strings: progress, client: events });
byId('again').addEventListener('click', () => {
  store(TRIES, '0');
  location.reload();
});

void run();

async function run(): Promise<void> {
  try {
    const given = JSON.parse(byId('given').textContent ?? '') as Given;
    const tries = Number(stored(TRIES) ?? 0);
    if (tries >= TRIES_MAX) throw new Error('asked often enough');
    store(TRIES, String(tries + 1));
    if (given.problem.workUnit === undefined) return await waitAndAsk(given.retryAfter);
    const answer = await solve(given.problem.workUnit);
    leave(answer);
    store(TRIES, '0');
    say(byId('status'), strings.through);
    location.reload();
  } catch (error) {
    tell('failed', { error });
    console.warn(error);
    say(byId('status'), strings.failed);
    byId('again').hidden = false;
    byId('again').focus();
  }
}

/** The value of the cookie: token and compact result, sent no earlier than the server looks at them. */
async function solve(unit: WorkUnit): Promise<string> {
  const task = validateUnit(unit);
  tell('challenge', { unit });
  const solver = new Solver({
    engine: 'auto',
    worker: true,
    onWarning: ({ message }) => console.warn(message),
  });
  try {
    const signal = AbortSignal.timeout(unit.ttlMs);
    const result = await solver.solve(unit, task, { signal, onProgress: (done) => tell('progress', done) });
    tell('solved', { unit, result });
    await sleepUntil(receivedAt + unit.waitMs);
    return `${unit.challengeToken}.${toCompact(result)}`;
  } finally {
    solver.close();
  }
}

async function waitAndAsk(seconds: number): Promise<void> {
  say(byId('status'), strings.waiting(seconds));
  await sleepUntil(receivedAt + seconds * 1000);
  store(TRIES, '0');
  location.reload();
}

/** Leaves the answer for the next navigation. */
function leave(answer: string): void {
  const secure = location.protocol === 'https:' ? '; Secure' : '';
  document.cookie = `pouw-answer=${answer}; Path=/; Max-Age=30; SameSite=Strict${secure}`;
  if (!document.cookie.includes('pouw-answer=')) throw new Error('this browser keeps no cookies');
}

function stored(name: string): string | null {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

function store(name: string, value: string): void {
  try {
    sessionStorage.setItem(name, value);
  } catch {
    // Without storage a loop is ended by the ceilings of the server.
  }
}
