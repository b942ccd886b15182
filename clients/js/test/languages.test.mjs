// Every language of the pages has every text, with the same places to fill and all of its plural forms.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL('../page/words.ts', import.meta.url))],
  bundle: true,
  format: 'esm',
  write: false,
});
const { Words } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);

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

/** All texts of a language, each with its path. */
function* texts(own, path = '') {
  for (const [name, text] of Object.entries(own)) {
    if (typeof text === 'object') yield* texts(text, `${path}.${name}`);
    else yield [`${path}.${name}`, text];
  }
}

/** The places in a French text where a space is not the one that belongs there. */
function frenchSpacing(text) {
  const rules = [
    [/.?[;?!]/g, /^\u202f/, 'a narrow no-break space before ; ? !'],
    [/.?[:\u00bb]/g, /^\u00a0/, 'a no-break space before : and \u00bb'],
    [/\u00ab.?/g, /\u00a0$/, 'a no-break space after \u00ab'],
    [/\{seconds\}.?s(?!\w)/g, /\u00a0s$/, 'a no-break space before a unit'],
  ];
  return rules.flatMap(([find, good, rule]) =>
    [...text.matchAll(find)].filter(([found]) => !good.test(found)).map(([found]) => `${found}: ${rule}`),
  );
}

test('fr: the spaces before signs, inside of quotation marks and before units do not break', () => {
  const wrong = [...texts(languages.fr)].flatMap(([path, text]) =>
    frenchSpacing(text).map((rule) => `${path}: ${rule}`),
  );
  assert.deepEqual(wrong, []);
  const good =
    'Quoi\u202f? Oui\u202f; non\u202f! Ici\u00a0: \u00ab\u00a0l\u00e0\u00a0\u00bb, {seconds}\u00a0s.';
  assert.deepEqual(frenchSpacing(good), []);
  for (const at of [...good.matchAll(/[\u00a0\u202f]/g)].map(({ index }) => index)) {
    for (const other of [' ', '']) {
      const bad = good.slice(0, at) + other + good.slice(at + 1);
      assert.equal(frenchSpacing(bad).length, 1, bad);
    }
  }
});

for (const [name, language] of Object.entries(others).filter(([name]) => name !== 'fr')) {
  test(`${name}: no space stands before a sign`, () => {
    const wrong = [...texts(language)].filter(([, text]) =>
      /\s[;:?!\u00bb\u201d.,\u060c\u061b\u061f\u3002\uff0c\uff1a\uff1b\uff1f\uff01]/u.test(text),
    );
    assert.deepEqual(wrong, []);
  });
}

for (const [name, { tag }] of Object.entries(languages)) {
  test(`${name}: the parts of a list are told apart`, () => {
    const parts = ['1 a', '2 b', '3 c'];
    for (const some of [parts.slice(0, 2), parts]) {
      const text = new Words(tag).list(some);
      for (const [at, part] of some.slice(1).entries()) {
        const between = text.slice(text.indexOf(some[at]) + some[at].length, text.indexOf(part));
        assert.match(between, /\S/, text);
      }
    }
    assert.equal(new Words(tag).list(['1 a']), '1 a');
  });
}

test('pt: it is the Portuguese of Brazil throughout', () => {
  assert.equal(languages.pt.tag, 'pt-BR');
  // A progressive form with "a", and words that are others in Brazil.
  const european =
    /\best(ou|\u00e1|\u00e3o|amos) a \p{L}+r\b|^A \p{L}+[aei]r\b|ficheiro|ecr\u00e3|contact(ar|e)\b|utilizador|guardad|registo\b|demasiad|regress|pedido|\u00e0 volta|por si\b|\btem de\b/iu;
  assert.deepEqual(
    [...texts(languages.pt)].filter(([, text]) => european.test(text)),
    [],
  );
});

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
