/** The texts of the demonstration page, in the first language of the browser that there is. */
import type { PouwStrings } from '../src/strings.js';
import { chooseLanguage, type DemoText } from './languages.js';
import { Words } from './words.js';

/** The language. */
export const language = chooseLanguage(navigator.languages);
const words = new Words(language.tag);

/** Text of `<pouw-progress>`. */
export const progress: PouwStrings = words.progress(language.progress);

/** Returns a text of the page. */
export function text(name: DemoText, values: Record<string, string | number> = {}): string {
  return words.fill(language.demo[name], values);
}

/** Returns why the server has no work for a client over its limit, by the reason in its response. */
export function because(reason: string): string {
  return language.reasons[reason] ?? language.reasons['other'] ?? '';
}

/** Returns what became of the requests of a burst. */
export function ending(results: Record<'free' | 'paid' | 'failed', number>): string {
  const { free, paid, failed } = results;
  const parts: [DemoText, number][] = [
    ['free', free],
    ['paid', paid],
    ['refused', failed],
  ];
  const some = parts.filter(([, requests]) => requests > 0);
  return text('sentence', { text: words.list(some.map(([name, requests]) => text(name, { requests }))) });
}

/** Formats a size. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${whole(bytes)} B`;
  if (bytes < 1024 * 1024) return `${whole(Math.round(bytes / 1024))} KiB`;
  return `${whole(Math.round((10 * bytes) / (1024 * 1024)) / 10)} MiB`;
}

/** Formats a number. */
export function whole(value: number): string {
  return words.number(value);
}
