// Every language of the pages has every text, with the same places to fill and all of its plural forms.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const folder = new URL('../page/languages/', import.meta.url);
const languages = Object.fromEntries(
  readdirSync(folder).map((name) => [
    name.replace('.json', ''),
    JSON.parse(readFileSync(new URL(name, folder), 'utf8')),
  ]),
);
const { en, ...others } = languages;

/** Numbers that some forms have as a word. */
const IN_WORDS = ['zero', 'one', 'two'];
/** What no sentence of a page contains. */
const MARKUP = /[<>"\\]|\{(?!\w+\})|(?<!\{\w+)\}/;

/** Everything wrong with a language, next to English. */
function problems(language) {
  const found = [];
  const categories = new Intl.PluralRules(language.tag).resolvedOptions().pluralCategories;
  const places = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).toSorted();
  const look = (path, own, english) => {
    if (typeof english === 'string' || english?.by !== undefined) return message(path, own, english);
    const [has, needs] = [own, english].map((texts) => Object.keys(texts ?? {}).toSorted());
    if (String(has) !== String(needs)) found.push(`${path}: has ${has} instead of ${needs}`);
    for (const name of needs) look(`${path}.${name}`, own?.[name], english[name]);
  };
  const message = (path, own, english) => {
    if (typeof english === 'string') {
      if (typeof own !== 'string') return found.push(`${path}: is no text`);
      return text(path, own, places(english));
    }
    const { by, ...forms } = own ?? {};
    if (by !== english.by) found.push(`${path}: counts ${by} instead of ${english.by}`);
    if (String(Object.keys(forms).toSorted()) !== String(categories.toSorted()))
      found.push(`${path}: has the forms ${Object.keys(forms)} instead of ${categories}`);
    for (const [form, one] of Object.entries(forms)) {
      const needed = places(english.other);
      const counted = IN_WORDS.includes(form) && !places(one).includes(by);
      // A form without its number may also leave out what goes with it.
      if (form === 'zero') continue;
      text(`${path}.${form}`, one, counted ? needed.filter((name) => name !== by) : needed);
    }
  };
  const text = (path, own, needed) => {
    if (own.trim() !== own || own === '') found.push(`${path}: is empty or has spaces around it`);
    if (MARKUP.test(own)) found.push(`${path}: has a character that is none of a sentence: ${own}`);
    if (String(places(own)) !== String(needed)) found.push(`${path}: fills ${places(own)}, not ${needed}`);
  };
  look(language.tag, language, en);
  return found;
}

test('there are eight, and each is named by its file', () => {
  assert.deepEqual(Object.keys(languages), ['ar', 'de', 'en', 'es', 'fr', 'ja', 'pt', 'zh']);
  for (const [name, { tag, direction }] of Object.entries(languages)) {
    assert.equal(tag.split('-')[0], name);
    assert.equal(direction, new Intl.Locale(tag).maximize().script === 'Arab' ? 'rtl' : 'ltr');
  }
});

for (const [name, language] of Object.entries(languages)) {
  test(`${name}: every text is there, with the same places and all plural forms`, () => {
    assert.deepEqual(problems(language), []);
  });
}

for (const [name, language] of Object.entries(others)) {
  test(`${name}: nothing was left in English`, () => {
    const same = [];
    const look = (own, english) => {
      for (const [key, text] of Object.entries(english)) {
        if (typeof text === 'object') look(own[key], text);
        else if (own[key] === text && /[a-z]{3} [a-z]/i.test(text)) same.push(text);
      }
    };
    look(language, en);
    assert.deepEqual(same, []);
  });
}

test('a missing text, another place and a missing form are found', () => {
  const change = (how) => {
    const copy = structuredClone(languages.ar);
    how(copy);
    return problems(copy).length;
  };
  assert.equal(
    change((copy) => delete copy.challenge.what),
    2,
  );
  assert.equal(
    change((copy) => (copy.served.wait = 'x')),
    1,
  );
  assert.equal(
    change((copy) => delete copy.progress.seconds.few),
    1,
  );
  assert.equal(
    change((copy) => (copy.demo.later = 'x')),
    1,
  );
  assert.equal(
    change((copy) => (copy.served.title = '<b>x</b>')),
    1,
  );
});
