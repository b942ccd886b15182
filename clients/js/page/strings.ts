/**
 * Every word of the two pages in English. For another language, copy this file, translate it and build: nothing else
 * of the pages has words in it, but for what is shown where scripts are off.
 */
import { english as element, type PouwStrings } from '../src/strings.js';

/** Words of `<pouw-progress>`. Both pages tell in words of their own what did not work. */
export const progress: PouwStrings = { ...element, failed: '' };

const number = new Intl.NumberFormat('en');

/** Why the server has no work for somebody who is over the limit, by the word it gives as its reason. */
const reasons: Record<string, string> = {
  ceiling: 'You have been let through for work as often as this server allows for now.',
  budget: 'This server has sent you as much work as it may for now.',
  no_work: 'There is no work to hand out right now.',
  degraded: 'This server hands out no work for the moment.',
  crowded: 'Too many clients are here at once.',
  exempt: 'This server asks no work of you.',
  try_again: 'This server is busy.',
  unavailable: 'This server cannot tell right now how many requests you may make.',
};

function because(reason: string): string {
  return reasons[reason] ?? `The server did not take the work (${reason}).`;
}

function counted(requests: number, one: string, more: string): string {
  if (requests === 0) return '';
  return requests === 1 ? `1 request ${one}` : `${number.format(requests)} requests ${more}`;
}

/** Words of the page to try it on. Members with `data-text` in the page are plain texts. */
export const page = {
  title: 'Over the limit, and still welcome',
  lead:
    'This server limits how many requests each client may make. Who wants more is not turned away: their device ' +
    'does a small piece of useful work, and the request goes through.',
  try: 'Try it',
  burst: 'Send a burst of requests',
  stop: 'Stop',
  earned: 'What you earned',
  credits: 'Credits (micro-joules)',
  hashes: 'Hashes computed',
  admitted: 'Requests let through',
  tree: 'Where your work went',
  treeLead:
    'Each piece of work belongs to a tree of hashes over stored files. Whoever has the tree can prove that a file has ' +
    'not changed.',
  health: 'Health of this server',
  metrics: 'Metrics',
  learning: 'Asking the server how many requests you may make …',
  sending: (requests: number, remaining: number) =>
    `Sending ${number.format(requests)} requests at once. ${number.format(remaining)} of them are free.`,
  done: (free: number, paid: number, failed: number) => {
    const parts = [
      counted(free, 'was free', 'were free'),
      counted(paid, 'went through for work', 'went through for work'),
      counted(failed, 'did not go through', 'did not go through'),
    ];
    return `${parts.filter((part) => part !== '').join(', ')}.`;
  },
  stopped: 'Stopped. What had been sent may still have counted.',
  unreachable: 'The server cannot be reached. Check your connection and try again.',
  why: (hashes: number, bytes: number, waitSeconds: number, synthetic: boolean) =>
    `You are over the limit. Your device now computes ${hashes === 1 ? 'one hash' : `${number.format(hashes)} hashes`} ` +
    `(SHA3-512) over ${size(bytes)} of data: ` +
    (synthetic
      ? 'practice data, because no real work is pending. '
      : 'a piece of a real tree that somebody needs. ') +
    (waitSeconds > 0
      ? `That takes a moment; the answer counts after ${number.format(waitSeconds)} s, the same wait for everybody.`
      : 'That takes a moment.'),
  waiting: (reason: string, seconds: number) =>
    `${because(reason)} What is left is sent by itself in ${number.format(seconds)} s; you need not do anything.`,
  failed: {
    deadline: 'Their turn did not come in time. Fewer at once, or another try, will do.',
    offline: 'The server could not be reached.',
    lost: 'The connection was lost while an answer was on its way; the server may have taken it.',
    other: 'Your device or the server could not do the work.',
    refused: (reason: string, seconds: number | undefined) =>
      because(reason) +
      (seconds === undefined
        ? ' Waiting works.'
        : ` Waiting works: in ${number.format(seconds)} s there is room again.`),
  },
  request: {
    waiting: 'in line',
    free: 'free',
    paid: 'let through for work',
    failed: 'did not go through',
  },
  receipt: (id: string) => `Receipt ${id}`,
  receiptUnknown: 'This receipt cannot be read right now.',
  treeCaption: (done: number, leaves: number, own: number, part: boolean) =>
    `${number.format(done)} of ${number.format(leaves)} leaves of this tree are done, ` +
    `${number.format(own)} of them by you (hatched).` +
    (part ? ' The part of the tree around your work is shown.' : ''),
  treeComplete: 'The tree is complete.',
};

/** Words of the page that a browser gets in the place of one that is over the limit. */
export const challenge = {
  title: 'One moment',
  lead:
    'More pages were asked for from your connection than is free. Your device does a small piece of useful work to get ' +
    'through. There is nothing to do for you, and nothing is lost.',
  waiting: (reason: string, seconds: number) =>
    `${because(reason)} This page asks again by itself in ${number.format(seconds)} s.`,
  through: 'Done. Your page is coming.',
  failed: 'That did not work. You can try again now; waiting for a minute works too.',
  again: 'Try again',
};

/** Bytes for people. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${number.format(bytes)} bytes`;
  if (bytes < 1024 * 1024) return `${number.format(Math.round(bytes / 1024))} KiB`;
  return `${number.format(Math.round((10 * bytes) / (1024 * 1024)) / 10)} MiB`;
}

/** A whole number for people. */
export function whole(value: number): string {
  return number.format(value);
}
