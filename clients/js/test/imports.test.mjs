// No file of src imports itself, be it through others or for a type only.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const here = new URL('../', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('package.json', here), 'utf8'));

test('no file of src imports itself through others', () => {
  const names = readdirSync(new URL('src/', here));
  const sources = Object.fromEntries(
    names.map((name) => [name, readFileSync(new URL(`src/${name}`, here), 'utf8')]),
  );
  const graph = imports(sources);
  // What is known to be there: without it the graph would show nothing.
  assert.ok(graph['index.ts'].includes('client.ts'));
  assert.ok(
    graph['solver.ts'].includes('platform-node.ts') && graph['solver.ts'].includes('platform-web.ts'),
  );
  assert.deepEqual(circles(graph), []);
});

test('a circle is found, whatever kind of import closes it', () => {
  const closing = [
    "import { a } from './a.js';",
    'import { a } from "./a.js";',
    "import a, { b as c } from './a.js';",
    "import * as a from './a.js';",
    "import type { A } from './a.js';",
    "import { a, type A } from './a.js';",
    "import {\n  a, // the first\n  /* the second */ b,\n} from './a.js';",
    "import './a.js';",
    "export { a } from './a.js';",
    "export * from './a.js';",
    "export * as a from './a.js';",
    "export type { A } from './a.js';",
    "const a = await import('./a.js');",
    "const a = await import(\n  /* beside this file */ './a.js'\n);",
    'const a = await import(`./a.js`);',
    "import a = require('./a.js');",
    "let a: import('./a.js').A;",
    "/** A header. */ import { a } from './a.js';",
    "const any = '*/*';\nimport { a } from './a.js';\n/* the end */",
    "import { a } from 'pouw/a';",
    "import { a } from '#a';",
  ];
  const names = {
    name: 'pouw',
    exports: { './a': { types: './dist/a.d.ts', default: './dist/a.js' } },
    imports: { '#a': { node: './dist/c.js', default: './dist/a.js' } },
  };
  for (const line of closing) {
    const sources = {
      'a.ts': "import { b } from './b.js';\n",
      'b.ts': `${line}\nexport const b = 1;\n`,
      'c.ts': '',
    };
    assert.deepEqual(circles(imports(sources, names)), ['a.ts -> b.ts -> a.ts'], line);
  }
});

test('a circle is found among any number of files, and each one by itself', () => {
  const sources = {
    'alone.ts': "import type { Alone } from './alone.js';",
    'head.ts': "import './one.js';\nimport './alone.js';",
    'one.ts': "import './two.js';",
    'two.ts': "import './three.js';\nimport './leaf.js';",
    'three.ts': "export type { One } from './one.js';",
    'leaf.ts': "import 'node:fs';\nimport '@noble/hashes/sha3.js';",
  };
  const found = ['alone.ts -> alone.ts', 'one.ts -> two.ts -> three.ts -> one.ts'];
  assert.deepEqual(circles(imports(sources)), found);
});

test('what is no import closes no circle, nor do two ways to one file', () => {
  const sources = {
    'top.ts': "import { left } from './left.js';\nimport { right } from './right.js';",
    'left.ts': "import { bottom } from './bottom.js';",
    'right.ts': "export { bottom } from './bottom.js';",
    'bottom.ts': [
      "/**\n * Used as in `import { top } from './top.js'`.\n */",
      "// import { top } from './top.js';",
      "const script = new URL('./top.js', import.meta.url);",
    ].join('\n'),
  };
  assert.deepEqual(circles(imports(sources)), []);
});

test('an import that leads to no file is refused', () => {
  assert.throws(
    () => imports({ 'a.ts': "import './gone.js';" }),
    /a\.ts imports \.\/gone\.js, which is not in src/,
  );
  assert.throws(
    () => imports({ 'a.ts': "import '#gone';" }),
    /a\.ts imports #gone, which is not in package\.json/,
  );
});

/** The files that each source imports, by name; the sources of other packages are left out. */
function imports(sources, names = manifest) {
  const from = /\bfrom\s*(['"`])(.+?)\1|\b(?:import|require)\s*\(?\s*(['"`])(.+?)\3/g;
  return Object.fromEntries(
    Object.entries(sources).map(([name, text]) => {
      const specifiers = [...withoutComments(text).matchAll(from)].map((match) => match[2] ?? match[4]);
      const to = specifiers.flatMap((specifier) =>
        targets(specifier, name, names).map((target) => {
          assert.ok(target in sources, `${name} imports ${specifier}, which is not in src`);
          return target;
        }),
      );
      return [name, [...new Set(to)]];
    }),
  );
}

/** The files of src that a specifier may lead to: a name of the package itself leads to one for each platform. */
function targets(specifier, name, { name: self, exports, imports }) {
  const source = (path) => path.replace(/^\.\/(?:dist\/)?/, '').replace(/(?:\.d\.ts|\.js)$/, '.ts');
  if (specifier.startsWith('.')) return [source(specifier)];
  const own = specifier === self || specifier.startsWith(`${self}/`);
  if (!own && !specifier.startsWith('#')) return [];
  const entry = own ? exports[specifier.replace(self, '.')] : imports[specifier];
  assert.ok(entry !== undefined, `${name} imports ${specifier}, which is not in package.json`);
  return typeof entry === 'string' ? [source(entry)] : Object.values(entry).map(source);
}

/** Strips comments: those at the start of a line, and those that end on their line or follow code after a space. */
function withoutComments(text) {
  return text.replace(/^\s*\/\*[^]*?\*\/|\/\*.*?\*\/|(?:^|\s)\/\/ .*$/gm, '');
}

/** The circles of a graph, each as the way round it; none if and only if there is none. */
function circles(graph) {
  const found = [];
  const done = new Set();
  const visit = (name, way) => {
    if (way.includes(name)) found.push([...way.slice(way.indexOf(name)), name].join(' -> '));
    if (way.includes(name) || done.has(name)) return;
    for (const next of graph[name]) visit(next, [...way, name]);
    done.add(name);
  };
  for (const name of Object.keys(graph)) visit(name, []);
  return found;
}
