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
  problem: { reason: string; workUnit?: WorkUnit };
  /** Seconds until it helps to ask again, where there is no work. */
  retryAfter: number;
}

/** How many answers in a row the page gives by itself, before a person has to ask again. */
const TRIES_MAX = 3;
/** Holds how many were given in a row, and when the last one was. */
const TRIES = 'pouw-tries';
/** Whoever comes later than so long after an answer comes from another page. */
const IN_A_ROW_MS = 2_000;

/** Over TLS under a name that nobody but this host can set. */
const SECURE = location.protocol === 'https:';
const COOKIE = SECURE ? '__Host-pouw-answer' : 'pouw-answer';

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
  forgetTries();
  location.reload();
});

void run();

async function run(): Promise<void> {
  try {
    const given = JSON.parse(byId('given').textContent ?? '') as Given;
    const { reason, workUnit } = given.problem;
    // Told to come again with the answer: it is still in its cookie.
    if (workUnit === undefined || (reason === 'too_early' && document.cookie.includes(`${COOKIE}=`)))
      return await waitAndAsk(reason, given.retryAfter);
    const tries = triesInARow();
    if (tries >= TRIES_MAX) throw new Error('pouw: the answers of this page do not arrive');
    const answer = await solve(workUnit);
    leave(answer, workUnit.ttlMs);
    rememberTries(tries + 1);
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

async function waitAndAsk(reason: string, seconds: number): Promise<void> {
  say(byId('status'), strings.waiting(reason, seconds));
  await sleepUntil(receivedAt + seconds * 1000);
  location.reload();
}

/** Leaves the answer for the next navigation. */
function leave(answer: string, ttlMs: number): void {
  const left = Math.max(1, Math.floor((receivedAt + ttlMs - monotonicMs()) / 1000));
  document.cookie = `${COOKIE}=${answer}; Path=/; Max-Age=${left}; SameSite=Strict${SECURE ? '; Secure' : ''}`;
  if (!document.cookie.includes(`${COOKIE}=`)) throw new Error('pouw: this browser keeps no cookies');
}

/** How many answers this tab gave in a row, one right after the other; none, where nothing can be stored. */
function triesInARow(): number {
  try {
    const [tries = 0, at = 0] = (sessionStorage.getItem(TRIES) ?? '').split(' ').map(Number);
    return Math.abs(performance.timeOrigin - at) < IN_A_ROW_MS ? tries : 0;
  } catch {
    return 0;
  }
}

function rememberTries(tries: number): void {
  try {
    sessionStorage.setItem(TRIES, `${tries} ${Date.now()}`);
  } catch {
    // Without storage a loop is ended by the ceilings of the server.
  }
}

function forgetTries(): void {
  try {
    sessionStorage.removeItem(TRIES);
  } catch {
    // There is nothing to forget.
  }
}
