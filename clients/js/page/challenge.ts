/**
 * The page shown instead of a page over the limit. It solves the work it contains, puts the answer into a short-lived
 * cookie, and loads the page that was asked for. A form it does not send again by itself.
 */
import { toCompact, type WorkUnit } from '../src/index.js';
import { definePouwProgress } from '../src/element.js';
import { Solver } from '../src/solver.js';
import { monotonicMs, sleepUntil } from '../src/time.js';
import { validateUnit } from '../src/validate.js';
import { byId } from './dom.js';
import { announce, onAnnounced } from './tabs.js';
import { Words, type ProgressTexts } from './words.js';

/** The data that the server wrote into the page. */
interface Given {
  problem: { reason: string; workUnit?: WorkUnit };
  /** Seconds until the same request is let through without work. */
  retryAfter: number;
  /** The request was a form that somebody filled in. */
  form: boolean;
  /** An answer buys more requests than this one. */
  pass: boolean;
  /** Why there is no work, as text. */
  because: string;
}

/** The texts that the server wrote into the page. */
interface Texts {
  progress: ProgressTexts;
  challenge: Record<
    'what' | 'held' | 'formHeld' | 'through' | 'failed' | 'again' | 'formReady' | 'sendAgain',
    string
  >;
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
/** What was asked for: the address of this page changes for a moment when it is left. */
const address = location.href;
let leaving = false;
// In place of a client: the element listens to these events.
const events = new EventTarget();
const tell = (name: string, detail: unknown) => events.dispatchEvent(new CustomEvent(name, { detail }));

const given = written<Given>('given');
const texts = written<Texts>('words');
const { challenge } = texts;
const progress = new Words(document.documentElement.lang).progress(texts.progress);

definePouwProgress();
const site = byId('site');
if (site.textContent === '') site.textContent = location.host;
byId('what').textContent = challenge.what;
const again = byId('again');
again.textContent = given.form ? challenge.sendAgain : challenge.again;
again.addEventListener('click', () => {
  forgetTries();
  if (given.form) location.reload();
  else load();
});
const bar = document.querySelector('pouw-progress');
const held = given.form ? challenge.formHeld : challenge.held;
const strings = { ...progress, sending: challenge.through, held };
if (bar !== null) Object.assign(bar, { strings, client: events });

/** Time for the response to the answer of another tab, which sets the cookie with the pass. */
const PASS_MS = 1_000;

void run();

async function run(): Promise<void> {
  try {
    const { reason, workUnit } = given.problem;
    // The server wants the same answer again later; it is still in the cookie.
    if (workUnit === undefined || (reason === 'too_early' && document.cookie.includes(`${COOKIE}=`))) {
      // A page without work can only wait, unless another tab gets a pass that is good for it too. One with work goes
      // on with it.
      if (given.pass && !given.form) onAnnounced(() => setTimeout(leaveNow, PASS_MS));
      return await waitAndAsk();
    }
    const tries = triesInARow();
    if (tries >= TRIES_MAX) throw new Error('pouw: the server did not accept the last answers of this page');
    const answer = await solve(workUnit);
    leave(answer, workUnit.ttlMs);
    rememberTries(tries + 1);
    if (given.form) return offer(challenge.formReady);
    if (given.pass) announce();
    leaveNow();
  } catch (error) {
    console.warn(error);
    offer(given.form ? `${challenge.failed} ${challenge.formReady}` : challenge.failed);
  }
}

/** Says what the visitor can do, and shows the button for it. */
function offer(text: string): void {
  // The element has nothing more to show.
  tell('failed', {});
  byId('now').hidden = true;
  // Never hidden: what appears together with its region is not read out everywhere.
  byId('status').textContent = text;
  again.hidden = false;
  again.focus();
}

/** Says that the wait is over, and loads the page that was asked for, unless it is on its way already. */
function leaveNow(): void {
  if (leaving) return;
  tell('leaving', {});
  load();
}

/** Loads the page that was asked for, at the place that the fragment names. */
function load(): void {
  leaving = true;
  const { pathname, search } = location;
  if (!address.includes('#')) {
    location.reload();
    return;
  }
  // A reload keeps the position of this page, and going to the own address with a fragment loads nothing. So the page
  // takes another address for a moment; the entry of the history stays the same one.
  history.replaceState(history.state, '', `${pathname}${search}${search === '' ? '?' : '&'}_`);
  location.replace(address);
}

/** Returns data that the server wrote into the page. */
function written<T>(id: string): T {
  return JSON.parse(byId(id).textContent ?? '') as T;
}

/** Returns the value of the cookie, token and compact result, once the minimum wait is over. */
async function solve(unit: WorkUnit): Promise<string> {
  const task = validateUnit(unit);
  const milliseconds = Math.max(0, receivedAt + unit.waitMs - monotonicMs());
  tell('challenge', { unit, milliseconds });
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

/** Waits until the same request is let through without work, or until the same answer may be sent again. */
async function waitAndAsk(): Promise<void> {
  const { because, form, retryAfter } = given;
  const until = receivedAt + retryAfter * 1000;
  byId('what').textContent = because;
  tell('waiting', { milliseconds: until - monotonicMs() });
  await sleepUntil(until);
  if (form) offer(challenge.formReady);
  else leaveNow();
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
