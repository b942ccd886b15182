/**
 * Every word of the two pages in English. For another language, copy this file, translate it and build: nothing else
 * of the pages has words in it, but for what is shown where scripts are off.
 */
import { english as element, type PouwStrings } from '../src/strings.js';

/** Words of `<pouw-progress>`. */
export const progress: PouwStrings = element;

const number = new Intl.NumberFormat('en');

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
  hashes: 'Hashes computed for the server',
  admitted: 'Requests let through for work',
  tree: 'Where your work went',
  treeLead:
    'Each piece of work belongs to a tree of hashes over stored files. Whoever has the tree can prove that a file has ' +
    'not changed.',
  health: 'Health of this server',
  metrics: 'Metrics',
  learning: 'Asking the server how many requests you may make …',
  sending: (requests: number, remaining: number) =>
    `Sending ${number.format(requests)} requests at once. ${number.format(remaining)} of them are free.`,
  done: (free: number, paid: number, failed: number) =>
    `${number.format(free)} requests were free, ${number.format(paid)} went through for work` +
    (failed === 0 ? '.' : `, ${number.format(failed)} did not go through.`),
  stopped: 'Stopped. What had been sent may still have counted.',
  unreachable: 'The server cannot be reached. Check your connection and try again.',
  why: (hashes: number, bytes: number, waitSeconds: number, synthetic: boolean) =>
    `You are over the limit. Your device now computes ${number.format(hashes)} hashes (SHA3-512) over ` +
    `${size(bytes)} of data: ` +
    (synthetic
      ? 'practice data, because no real work is pending. '
      : 'a piece of a real tree that somebody needs. ') +
    (waitSeconds > 0
      ? `That takes a moment; the answer counts after ${number.format(waitSeconds)} s, the same wait for everybody.`
      : 'That takes a moment.'),
  failed: {
    deadline: 'It took too long and was given up.',
    offline: 'The connection was lost.',
    refused: (reason: string) =>
      `The server does not take more work from you now (${reason}). Waiting works.`,
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
  waiting: (seconds: number) =>
    `There is no work to hand out right now. This page asks again in ${number.format(seconds)} s.`,
  through: 'Done. Your page is coming.',
  failed: 'That did not work.',
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
