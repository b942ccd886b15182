/** Draws the part of a tree around one's own work: tiles of 32 leaves, and the nodes above them. */
import { byId } from './dom.js';
import { text } from './texts.js';

/** What `/pouw/tree/<id>` says. */
export interface TreeState {
  treeId: string;
  leaves: number;
  done: number;
  height: number;
  complete: boolean;
  /** Number of the first leaf shown. */
  firstLeaf: number;
  /** One bit for each leaf that is done, lowest first; a number for each tile. */
  tiles: number[];
}

/** Some leaves, from `first` on. */
export interface Leaves {
  first: number;
  count: number;
}

const TILE = 32;
const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, ROW, CELL_HEIGHT, CELL_WIDTH_MAX, MARGIN] = [640, 34, 48, 44, 10];
/** Up to this number, leaves are drawn one by one; more are drawn as tiles. */
const SINGLE_MAX = 64;

/** A leaf, or a tile of them: how much of it is done, and how much is one's own, each from 0 to 1. */
interface Cell {
  first: number;
  done: number;
  own: number;
}

function cellsOf(tree: TreeState, own: Leaves[]): Cell[] {
  const mine = (leaf: number) => own.some(({ first, count }) => first <= leaf && leaf < first + count);
  const shown = Math.min(tree.leaves - tree.firstLeaf, tree.tiles.length * TILE);
  const size = shown <= SINGLE_MAX ? 1 : TILE;
  const cells: Cell[] = [];
  for (let at = 0; at < shown; at += size) {
    const leaves = Array.from({ length: Math.min(size, shown - at) }, (_, more) => at + more);
    const done = leaves.filter(
      (leaf) => ((tree.tiles[Math.floor(leaf / TILE)] ?? 0) >>> (leaf % TILE)) & 1,
    ).length;
    const ours = leaves.filter((leaf) => mine(tree.firstLeaf + leaf)).length;
    cells.push({ first: tree.firstLeaf + at, done: done / leaves.length, own: ours / leaves.length });
  }
  return cells;
}

function element(name: string, attributes: Record<string, string | number>): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value));
  return made;
}

/** The leaves below a unit's top node, as far as the tree has them. */
export function leavesBelow(unit: { treeLevel: number; treeIndex: number }, tree: TreeState): Leaves {
  const width = 2 ** Math.max(0, tree.height - unit.treeLevel);
  const first = unit.treeIndex * width;
  return { first, count: Math.max(0, Math.min(width, tree.leaves - first)) };
}

/** Draws the tree into the figure, with `own` marked. */
export function drawTree(tree: TreeState, own: Leaves[]): void {
  const figure = byId('tree');
  const picture = figure.querySelector('svg');
  if (picture === null || tree.tiles.length === 0) return;
  const cells = cellsOf(tree, own);
  const levels = Math.ceil(Math.log2(cells.length));
  const step = WIDTH / cells.length;
  const [top, bottom] = [MARGIN, MARGIN + levels * ROW];
  picture.setAttribute('viewBox', `0 0 ${WIDTH} ${bottom + CELL_HEIGHT + MARGIN}`);
  const parts: SVGElement[] = cells.flatMap((cell, at) => drawCell((at + 0.5) * step, bottom, step, cell));
  let level = cells.map(({ done, own: mine }, at) => ({
    x: (at + 0.5) * step,
    done: done === 1,
    own: mine > 0,
  }));
  for (let y = bottom - ROW; y >= top && level.length > 1; y -= ROW) {
    const above: typeof level = [];
    for (let at = 0; at < level.length; at += 2) {
      const children = level.slice(at, at + 2);
      const x = children.reduce((sum, child) => sum + child.x, 0) / children.length;
      for (const child of children) {
        const end = y + ROW - (y + ROW === bottom ? 0 : 5);
        parts.unshift(
          element('path', { class: child.own ? 'edge own' : 'edge', d: `M${x} ${y}L${child.x} ${end}` }),
        );
      }
      above.push({
        x,
        done: children.every((child) => child.done),
        own: children.some((child) => child.own),
      });
    }
    for (const { x, done, own: mine } of above) {
      const names = ['node', ...(done ? ['done'] : []), ...(mine ? ['own'] : [])];
      parts.push(element('circle', { class: names.join(' '), cx: x, cy: y, r: 5 }));
    }
    level = above;
  }
  picture.replaceChildren(...parts);
  const total = own.reduce((sum, leaves) => sum + leaves.count, 0);
  const caption = [text('treeCaption', { done: tree.done, leaves: tree.leaves, own: total })];
  if (tree.tiles.length * TILE < tree.leaves) caption.push(text('treePart'));
  if (tree.complete) caption.push(text('treeComplete'));
  byId('tree-caption').textContent = caption.join(' ');
  figure.dataset['done'] = String(tree.done);
  figure.dataset['own'] = String(total);
  figure.hidden = false;
}

/** One cell: filled from below as far as it is done, hatched as far as it is one's own. */
function drawCell(middle: number, top: number, step: number, { first, done, own }: Cell): SVGElement[] {
  const width = Math.min(step * 0.8, CELL_WIDTH_MAX);
  const left = middle - width / 2;
  const rect = (part: number, name: string) =>
    element('rect', {
      class: name,
      x: left,
      y: top + CELL_HEIGHT * (1 - part),
      width,
      height: CELL_HEIGHT * part,
    });
  const frame = rect(1, own > 0 ? 'tile own' : 'tile');
  frame.setAttribute('data-first-leaf', String(first));
  frame.setAttribute('data-done', String(Math.round(done * 100)));
  const parts = [frame, rect(done, 'fill')];
  const tall = CELL_HEIGHT * own;
  // Lines at 45 degrees, cut off at the edges of what is hatched.
  for (let start = 6 - tall; own > 0 && start < width; start += 6) {
    const [from, to] = [Math.max(0, -start), Math.min(tall, width - start)];
    const at = (up: number) => `${left + start + up} ${top + CELL_HEIGHT - up}`;
    if (from < to) parts.push(element('path', { class: 'hatch', d: `M${at(from)}L${at(to)}` }));
  }
  return parts;
}
