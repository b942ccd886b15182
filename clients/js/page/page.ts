/** The demonstration page: sends bursts, shows the work, the credits, the receipts and the tree. */
import { createPouwClient, PouwError, type WorkUnit } from '../src/index.js';
import { definePouwProgress } from '../src/element.js';
import { byId, fillTexts, say } from './dom.js';
import { page as strings, progress, whole } from './strings.js';
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

type State = keyof typeof strings.request;
const signs: Record<State, string> = { waiting: '·', free: '✓', paid: '#', failed: '✗' };

const client = createPouwClient();
const earned = { credits: 0, hashes: 0, admitted: 0 };
/** The unit that is being solved, by its id. */
const units = new Map<string, Part>();
/** One's own units of the tree that is shown. */
let shown: { treeId: string; units: Part[] } | undefined;

definePouwProgress();
fillTexts(strings);
document.title = strings.title;
const bar = document.querySelector('pouw-progress');
if (bar !== null) Object.assign(bar, { strings: progress, client });
const [burst, stop] = [byId<HTMLButtonElement>('burst'), byId<HTMLButtonElement>('stop')];

client.addEventListener('challenge', ({ detail: { unit } }) => {
  // One is solved at a time; what became of those before is known.
  units.clear();
  const { treeId, treeLevel, treeIndex, nodeCount, synthetic } = unit;
  units.set(unit.id, { treeId, treeLevel, treeIndex, nodeCount, synthetic });
  const bytes = (unit.inputData.length / 4) * 3;
  say(byId('why'), strings.why(unit.nodeCount, bytes, Math.ceil(unit.waitMs / 100) / 10, unit.synthetic));
});

client.addEventListener('waiting', ({ detail: { reason, milliseconds } }) => {
  say(byId('why'), strings.waiting(reason, Math.ceil(milliseconds / 1000)));
});

client.addEventListener('accepted', ({ detail }) => {
  const unit = units.get(detail.workUnitId);
  units.delete(detail.workUnitId);
  earned.credits += detail.microJoules ?? 0;
  earned.hashes += unit?.nodeCount ?? 0;
  earned.admitted += 1;
  for (const [id, value] of Object.entries(earned)) byId(id).textContent = whole(value);
  addReceipt(detail.workUnitId);
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
  say(byId('status'), strings.learning);
  const results = { free: 0, paid: 0, failed: 0 };
  try {
    const first = await send(results, ended.signal);
    if (first === undefined) return;
    const free = Number(first.headers.get('x-ratelimit-remaining') ?? 0);
    const requests = Math.min(BURST_MAX, free + BEYOND);
    say(byId('status'), strings.sending(requests, free));
    await Promise.all(Array.from({ length: requests }, () => send(results, ended.signal)));
  } finally {
    say(byId('status'), ended.signal.aborted ? strings.stopped : ending(results));
    say(byId('why'), '');
    burst.disabled = false;
    // A visitor who has moved the focus elsewhere keeps it.
    if (document.activeElement === stop) burst.focus();
    stop.hidden = true;
  }
}

function ending({ free, paid, failed }: { free: number; paid: number; failed: number }): string {
  return strings.done(free, paid, failed) + (failed > 0 && lastFailure !== '' ? ` ${lastFailure}` : '');
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
    mark.setAttribute('aria-label', strings.request[state]);
    mark.title = strings.request[state];
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
  if (!(error instanceof PouwError)) return strings.failed.offline;
  if (error.code === 'connection_lost') return strings.failed.lost;
  if (error.reason !== undefined) {
    const seconds = Number(error.response?.headers.get('retry-after') ?? NaN);
    return strings.failed.refused(error.reason, seconds > 0 ? seconds : undefined);
  }
  return error.code === 'deadline' ? strings.failed.deadline : strings.failed.other;
}

function addReceipt(id: string): void {
  const receipt = document.createElement('details');
  const title = document.createElement('summary');
  title.textContent = strings.receipt(id);
  const text = document.createElement('pre');
  // What scrolls has to be reachable by keyboard.
  text.tabIndex = 0;
  receipt.append(title, text);
  receipt.addEventListener('toggle', () => {
    if (receipt.open) void read(`/pouw/receipt/${id}`).then((found) => (text.textContent = pretty(found)));
  });
  const list = byId('receipts');
  list.prepend(receipt);
  while (list.children.length > RECEIPTS_MAX) list.lastElementChild?.remove();
}

function pretty(found: unknown): string {
  return found === undefined ? strings.receiptUnknown : JSON.stringify(found, null, 2);
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
  entry.append(sign, strings.request[state]);
  legend.append(entry);
}
legend.hidden = false;
byId('app').hidden = false;
