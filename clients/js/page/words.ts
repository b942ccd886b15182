/** Fills the texts of a language: places in braces, and the plural form that a number asks for. */
import { MINUTES_FROM, type PouwStrings } from '../src/strings.js';

/** A text, or one for each plural form of the number in the place that `by` names. */
export type Message = string | ({ by: string; other: string } & Partial<Record<Intl.LDMLPluralRule, string>>);

/** The texts of `<pouw-progress>` in a file of a language. The pages report failures themselves. */
export type ProgressTexts = Omit<PouwStrings, 'failed' | 'left'> & Record<'seconds' | 'minutes', Message>;

/** What stands between texts in languages whose lists of units have no sign there, by their codes. */
const BETWEEN: Record<string, string> = { ja: '\u3001', zh: '\uff0c' };

/** Numbers and plural forms of one language. */
export class Words {
  #number: Intl.NumberFormat;
  #plural: Intl.PluralRules;
  #list: Intl.ListFormat;
  #between: string | undefined;

  /** `tag` is that of BCP 47. */
  constructor(tag: string) {
    this.#number = new Intl.NumberFormat(tag);
    this.#plural = new Intl.PluralRules(tag);
    this.#list = new Intl.ListFormat(tag, { type: 'unit' });
    this.#between = BETWEEN[tag.split('-')[0] ?? ''];
  }

  /** Formats a number. */
  number(value: number): string {
    return this.#number.format(value);
  }

  /** Puts texts side by side. */
  list(texts: string[]): string {
    return this.#between === undefined ? this.#list.format(texts) : texts.join(this.#between);
  }

  /** Fills the places of a text. */
  fill(message: Message, values: Record<string, string | number> = {}): string {
    const text =
      typeof message === 'string'
        ? message
        : (message[this.#plural.select(Number(values[message.by]))] ?? message.other);
    return text.replace(/\{(\w+)\}/g, (place, name: string) => {
      const value = values[name];
      return typeof value === 'number' ? this.number(value) : (value ?? place);
    });
  }

  /** Texts of the element. */
  progress({ seconds: inSeconds, minutes: inMinutes, ...texts }: ProgressTexts): PouwStrings {
    const left = (seconds: number) =>
      seconds >= MINUTES_FROM
        ? this.fill(inMinutes, { minutes: Math.ceil(seconds / 60) })
        : this.fill(inSeconds, { seconds });
    return { ...texts, failed: '', left };
  }
}
