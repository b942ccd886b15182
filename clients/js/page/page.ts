/** The demonstration page: sends bursts, shows the work, the credits, the receipts and the tree. */
import { createPouwClient, PouwError, type WorkUnit } from '../src/index.js';
import { definePouwProgress } from '../src/element.js';
import { byId, fillTexts, say } from './dom.js';
import type { DemoText } from './languages.js';
import { because, ending, language, progress, size, text, whole } from './texts.js';
import { drawTree, leavesBelow, type Leaves, type TreeState } from './tree.js';

/** Requests beyond those that are free. */
const BEYOND = 3;
/** Requests of a burst at most. */
const BURST_MAX = 250;
/** State of the marks that the legend explains. */
const EXPLAINED = ['waiting', 'free', 'paid', 'failed'] as const;
/** How often the tree is looked at while it is in sight. */
const LOOK_EVERY_MS = 2_000;
/** Receipts shown at most. */
const RECEIPTS_MAX = 50;

/** What is kept of a unit: not its data. */
type Part = Pick<WorkUnit, 'treeId' | 'treeLevel' | 'treeIndex' | 'nodeCount' | 'synthetic'>;

type State = 'waiting' | 'free' | 'paid' | 'failed';
const signs: Record<State, string> = { waiting: '·', free: '✓', paid: '#', failed: '✗' };
const names: Record<State, string> = {
  waiting: text('markWaiting'),
  free: text('markFree'),
  paid: text('markPaid'),
  failed: text('markFailed'),
};

const client = createPouwClient();
const earned = { credits: 0, hashes: 0, admitted: 0 };
/** The unit that is being solved, by its id. */
const units = new Map<string, Part>();
/** One's own units of the tree that is shown. */
let shown: { treeId: string; units: Part[] } | undefined;

definePouwProgress();
Object.assign(document.documentElement, { lang: language.tag, dir: language.direction });
fillTexts((name) => text(name as DemoText));
document.title = text('title');
const bar = document.querySelector('pouw-progress');
if (bar !== null) Object.assign(bar, { strings: progress, client });
const [burst, stop] = [byId<HTMLButtonElement>('burst'), byId<HTMLButtonElement>('stop')];

client.addEventListener('challenge', ({ detail: { unit } }) => {
  // One is solved at a time; what became of those before is known.
  units.clear();
  const { treeId, treeLevel, treeIndex, nodeCount, synthetic } = unit;
  units.set(unit.id, { treeId, treeLevel, treeIndex, nodeCount, synthetic });
  const bytes = (unit.inputData.length / 4) * 3;
  const values = { hashes: unit.nodeCount, size: size(bytes) };
  const why = [text(unit.synthetic ? 'whySynthetic' : 'whyReal', values)];
  if (unit.waitMs > 0) why.push(text('whyWait', { seconds: Math.ceil(unit.waitMs / 100) / 10 }));
  say(byId('why'), why.join(' '));
});

client.addEventListener('waiting', ({ detail: { reason, milliseconds } }) => {
  const seconds = Math.ceil(milliseconds / 1000);
  say(byId('why'), `${because(reason)} ${text('waiting', { seconds })}`);
});

client.addEventListener('accepted', ({ detail }) => {
  const unit = units.get(detail.workUnitId);
  units.delete(detail.workUnitId);
  earned.credits += detail.microJoules ?? 0;
  earned.hashes += unit?.nodeCount ?? 0;
  earned.admitted += 1;
  for (const [id, value] of Object.entries(earned)) byId(id).textContent = whole(value);
  addReceipt(detail.workUnitId, unit?.synthetic ?? false);
  if (unit !== undefined && !unit.synthetic) void showTree(unit);
});

burst.addEventListener('click', () => void sendBurst());

/** Fills up the limit and goes a little beyond. */
async function sendBurst(): Promise<void> {
  const byKeyboard = document.activeElement === burst;
  burst.disabled = true;
  stop.hidden = false;
  // What is disabled loses the focus.
  if (byKeyboard) stop.focus();
  lastFailure = '';
  const ended = new AbortController();
  stop.onclick = () => ended.abort();
  byId('requests').replaceChildren();
  say(byId('status'), text('learning'));
  const results = { free: 0, paid: 0, failed: 0 };
  try {
    const first = await send(results, ended.signal);
    if (first === undefined) return;
    const free = Number(first.headers.get('x-ratelimit-remaining') ?? 0);
    const requests = Math.min(BURST_MAX, free + BEYOND);
    say(byId('status'), text('sending', { requests, remaining: free }));
    await Promise.all(Array.from({ length: requests }, () => send(results, ended.signal)));
  } finally {
    say(byId('status'), ended.signal.aborted ? text('stopped') : outcome(results));
    say(byId('why'), '');
    burst.disabled = false;
    // A visitor who has moved the focus elsewhere keeps it.
    if (document.activeElement === stop) burst.focus();
    stop.hidden = true;
  }
}

function outcome(results: { free: number; paid: number; failed: number }): string {
  return ending(results) + (results.failed > 0 && lastFailure !== '' ? ` ${lastFailure}` : '');
}

let lastFailure = '';

/** One request, with a mark of its own in the list. */
async function send(
  results: { free: number; paid: number; failed: number },
  signal: AbortSignal,
): Promise<Response | undefined> {
  const mark = document.createElement('li');
  byId('requests').append(mark);
  const enter = (state: State) => {
    mark.className = state;
    mark.textContent = signs[state];
    mark.setAttribute('aria-label', names[state]);
    mark.title = names[state];
  };
  enter('waiting');
  try {
    const response = await client.fetch('/hello', { signal });
    const paid = response.headers.get('x-pouw-accepted') === 'true';
    const state = paid ? 'paid' : response.ok ? 'free' : 'failed';
    enter(state);
    results[state] += 1;
    return response;
  } catch (error) {
    enter('failed');
    results.failed += 1;
    lastFailure = reasonOf(error);
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof PouwError)) return text('failedOffline');
  if (error.code === 'connection_lost') return text('failedLost');
  if (error.reason !== undefined) {
    const seconds = Number(error.response?.headers.get('retry-after') ?? NaN);
    return `${because(error.reason)} ${seconds > 0 ? text('tryIn', { seconds }) : text('tryLater')}`;
  }
  return text(error.code === 'deadline' ? 'failedDeadline' : 'failedOther');
}

/** A receipt: what it means in words, and the document. */
function addReceipt(id: string, synthetic: boolean): void {
  const receipt = document.createElement('details');
  const title = document.createElement('summary');
  // In Arabic, the parts of an id would change places.
  title.textContent = text('receipt', { id: language.direction === 'rtl' ? `\u2068${id}\u2069` : id });
  const meaning = document.createElement('p');
  const content = document.createElement('pre');
  content.dir = 'ltr';
  // What scrolls has to be reachable by keyboard.
  content.tabIndex = 0;
  receipt.append(title, meaning, content);
  receipt.addEventListener('toggle', () => {
    if (!receipt.open) return;
    void read(`/pouw/receipt/${id}`).then((found) => {
      meaning.textContent = inWords(found, synthetic);
      content.hidden = found === undefined;
      content.textContent = found === undefined ? '' : JSON.stringify(found, null, 2);
    });
  });
  const list = byId('receipts');
  list.prepend(receipt);
  while (list.children.length > RECEIPTS_MAX) list.lastElementChild?.remove();
}

function inWords(found: unknown, synthetic: boolean): string {
  if (found === undefined) return text('receiptUnknown');
  const { state, nodes, microJoules } = found as { state: string; nodes?: number; microJoules?: number };
  if (state !== 'accepted' || nodes === undefined) return text('receiptOpen');
  const values = { hashes: nodes, credits: microJoules ?? 0 };
  return text(synthetic ? 'receiptSynthetic' : 'receiptReal', values);
}

async function read(path: string): Promise<unknown> {
  try {
    const response = await fetch(path);
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}

/** Shows the tree of a unit. Units of another tree begin a new drawing. */
async function showTree(unit: Part): Promise<void> {
  if (shown?.treeId !== unit.treeId) shown = { treeId: unit.treeId, units: [] };
  shown.units.push(unit);
  await look();
}

async function look(): Promise<void> {
  const last = shown?.units.at(-1);
  if (shown === undefined || last === undefined) return;
  const { treeId, units } = shown;
  const tree = await read(`/pouw/tree/${treeId}?level=${last.treeLevel}&index=${last.treeIndex}`);
  if (tree === undefined || shown?.treeId !== treeId) return;
  const own: Leaves[] = units.map((unit) => leavesBelow(unit, tree as TreeState));
  drawTree(tree as TreeState, own);
  if ((tree as TreeState).complete) shown = undefined;
}

setInterval(() => {
  if (document.visibilityState === 'visible') void look();
}, LOOK_EVERY_MS);

const legend = byId('legend');
for (const state of EXPLAINED) {
  const sign = document.createElement('span');
  sign.className = state;
  sign.textContent = signs[state];
  sign.setAttribute('aria-hidden', 'true');
  const entry = document.createElement('span');
  entry.append(sign, names[state]);
  legend.append(entry);
}
legend.hidden = false;
byId('app').hidden = false;
