/**
 * The page shown instead of a page over the limit. It solves the work it contains, puts the answer into a short-lived
 * cookie, and reloads.
 */
import { toCompact, type WorkUnit } from '../src/index.js';
import { definePouwProgress } from '../src/element.js';
import { Solver } from '../src/solver.js';
import { monotonicMs, sleepUntil } from '../src/time.js';
import { validateUnit } from '../src/validate.js';
import { byId, fillTexts, say } from './dom.js';
import { challenge as strings, progress } from './strings.js';

/** The data that the server wrote into the page. */
interface Given {
  problem: { reason: string; workUnit?: WorkUnit };
  /** Seconds to wait before trying again, if there is no work. */
  retryAfter: number;
}

/** Answers in a row that the page sends by itself, before the visitor has to press a button. */
const TRIES_MAX = 3;
/** Key of the number of answers in a row and the time of the last one. */
const TRIES = 'pouw-tries';
/** A load later than this after an answer does not count as in a row. */
const IN_A_ROW_MS = 2_000;

/** Over TLS the cookie has a name that only this host can set. */
const SECURE = location.protocol === 'https:';
const COOKIE = SECURE ? '__Host-pouw-answer' : 'pouw-answer';

const receivedAt = monotonicMs();
// In place of a client: the element listens to these events.
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
    // The server wants the same answer again later; it is still in the cookie.
    if (workUnit === undefined || (reason === 'too_early' && document.cookie.includes(`${COOKIE}=`)))
      return await waitAndAsk(reason, given.retryAfter);
    const tries = triesInARow();
    if (tries >= TRIES_MAX) throw new Error('pouw: the server did not accept the last answers of this page');
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

/** Returns the value of the cookie, token and compact result, once the minimum wait is over. */
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

/** Stores the answer for the next navigation. */
function leave(answer: string, ttlMs: number): void {
  const left = Math.max(1, Math.floor((receivedAt + ttlMs - monotonicMs()) / 1000));
  document.cookie = `${COOKIE}=${answer}; Path=/; Max-Age=${left}; SameSite=Strict${SECURE ? '; Secure' : ''}`;
  if (!document.cookie.includes(`${COOKIE}=`)) throw new Error('pouw: this browser does not store cookies');
}

/** Returns the number of answers this tab sent in a row; 0 if nothing can be stored. */
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
    // Without storage, the limits of the server end a loop.
  }
}

function forgetTries(): void {
  try {
    sessionStorage.removeItem(TRIES);
  } catch {
    // Nothing is stored.
  }
}
