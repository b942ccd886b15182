/** All languages of the demonstration page, and the choice among them. */
import ar from './languages/ar.json' with { type: 'json' };
import de from './languages/de.json' with { type: 'json' };
import en from './languages/en.json' with { type: 'json' };
import es from './languages/es.json' with { type: 'json' };
import fr from './languages/fr.json' with { type: 'json' };
import ja from './languages/ja.json' with { type: 'json' };
import pt from './languages/pt.json' with { type: 'json' };
import zh from './languages/zh.json' with { type: 'json' };
import type { Message, ProgressTexts } from './words.js';

/** Names of the texts of the demonstration page. */
export type DemoText = keyof typeof en.demo;

/** A file of a language. */
export interface Language {
  tag: string;
  direction: string;
  progress: ProgressTexts;
  reasons: Record<string, string>;
  demo: Record<DemoText, Message>;
}

const LANGUAGES: Record<string, Language> = { ar, de, en, es, fr, ja, pt, zh };

/** Returns the first of the wanted languages that there is (RFC 4647, lookup), else English. */
export function chooseLanguage(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const [language = ''] = tag.toLowerCase().split('-');
    if (Object.hasOwn(LANGUAGES, language)) return LANGUAGES[language]!;
  }
  return en;
}
