/**
 * All text of the two pages, in English. For another language, copy this file, translate it and build. The only
 * other text is the one shown without scripts, in index.html.
 */
import { english as element, type PouwStrings } from '../src/strings.js';

/** Text of `<pouw-progress>`. Both pages report failures themselves. */
export const progress: PouwStrings = { ...element, failed: '' };

const number = new Intl.NumberFormat('en');

/** Why the server has no work for a client over its limit, by the reason in its response. */
const reasons: Record<string, string> = {
  ceiling: 'You have reached the number of requests that this server lets through for work.',
  budget: 'This server has sent you as much work as it allows for now.',
  no_work: 'This server has no work to hand out right now.',
  degraded: 'This server is not handing out work right now.',
  crowded: 'Too many clients are using this server right now.',
  exempt: 'This server does not give you work.',
  try_again: 'This server is busy.',
  unavailable: 'This server cannot check your limit right now.',
};

function because(reason: string): string {
  return reasons[reason] ?? `The server did not accept the work (${reason}).`;
}

function counted(requests: number, one: string, more: string): string {
  if (requests === 0) return '';
  return requests === 1 ? `1 request ${one}` : `${number.format(requests)} requests ${more}`;
}

/** Text of the demonstration page. Members named in a `data-text` of the page are plain strings. */
export const page = {
  title: 'A rate limit you can work past',
  lead:
    'This server limits the requests of each client. If you want to make more, your device can do a small piece ' +
    'of useful work for each of them.',
  try: 'Try it',
  burst: 'Send a burst of requests',
  stop: 'Stop',
  earned: 'What you earned',
  credits: 'Credits (microjoules)',
  hashes: 'Hashes computed',
  admitted: 'Requests let through',
  tree: 'Where your work went',
  treeLead:
    'Each piece of work is part of a tree of hashes over stored files. The tree proves that a file has not changed.',
  health: 'Health of this server',
  metrics: 'Metrics',
  learning: 'Asking the server for your limit …',
  sending: (requests: number, remaining: number) =>
    `Sending ${number.format(requests)} requests at once. ${number.format(remaining)} of them are within the limit.`,
  done: (free: number, paid: number, failed: number) => {
    const parts = [
      counted(free, 'was within the limit', 'were within the limit'),
      counted(paid, 'went through for work', 'went through for work'),
      counted(failed, 'did not go through', 'did not go through'),
    ];
    return `${parts.filter((part) => part !== '').join(', ')}.`;
  },
  stopped: 'Stopped. Requests that were already sent may still have counted.',
  unreachable: 'The server cannot be reached. Check your connection and try again.',
  why: (hashes: number, bytes: number, waitSeconds: number, synthetic: boolean) =>
    `You are over the limit. Your device now computes ${hashes === 1 ? 'one hash' : `${number.format(hashes)} hashes`} ` +
    `(SHA3-512) over ${size(bytes)} of data: ` +
    (synthetic ? 'random data, because no useful work is pending. ' : 'a part of a real tree. ') +
    (waitSeconds > 0
      ? `That takes a moment. Every client has to wait ${number.format(waitSeconds)} s before its answer counts.`
      : 'That takes a moment.'),
  waiting: (reason: string, seconds: number) =>
    `${because(reason)} The remaining requests are sent automatically in ${number.format(seconds)} s.`,
  failed: {
    deadline: 'They took too long. Send fewer at once, or try again.',
    offline: 'The server could not be reached.',
    lost: 'The connection was lost while an answer was being sent. The server may have accepted it.',
    other: 'Your device or the server could not do the work.',
    refused: (reason: string, seconds: number | undefined) =>
      because(reason) +
      (seconds === undefined ? ' Try again later.' : ` Try again in ${number.format(seconds)} s.`),
  },
  request: {
    waiting: 'waiting',
    free: 'within the limit',
    paid: 'let through for work',
    failed: 'did not go through',
  },
  receipt: (id: string) => `Receipt ${id}`,
  receiptUnknown: 'This receipt is not available right now.',
  treeCaption: (done: number, leaves: number, own: number, part: boolean) =>
    `${number.format(done)} of ${number.format(leaves)} leaves of this tree are hashed, ` +
    `${number.format(own)} of them by you (hatched).` +
    (part ? ' Only the part around your work is shown.' : ''),
  treeComplete: 'The tree is complete.',
};

/** Text of the page shown instead of a page over the limit. */
export const challenge = {
  title: 'One moment',
  lead:
    'Your connection has requested more pages than this server allows. Your device is doing a small piece of useful ' +
    'work to get through. You do not have to do anything.',
  waiting: (reason: string, seconds: number) =>
    `${because(reason)} This page tries again in ${number.format(seconds)} s.`,
  through: 'Done. Loading your page.',
  failed: 'That did not work. Try again now, or wait a minute first.',
  again: 'Try again',
};

/** Formats a size. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${number.format(bytes)} bytes`;
  if (bytes < 1024 * 1024) return `${number.format(Math.round(bytes / 1024))} KiB`;
  return `${number.format(Math.round((10 * bytes) / (1024 * 1024)) / 10)} MiB`;
}

/** Formats a whole number. */
export function whole(value: number): string {
  return number.format(value);
}
