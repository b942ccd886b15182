// What a page has and Node has not.

/** The place of a page, with cookies as a browser keeps them, or without. */
export function page(t, origin, { cookies = true } = {}) {
  const jar = new Map();
  const written = [];
  const document = {
    get cookie() {
      return [...jar].map((pair) => pair.join('=')).join('; ');
    },
    set cookie(text) {
      written.push(text);
      const [, name, value, attributes] = /^([^=]+)=([^;]*)(.*)$/.exec(text);
      if (cookies) jar.set(name, value);
      if (/Max-Age=0\b/.test(attributes)) jar.delete(name);
    },
  };
  globalThis.location = { href: `${origin}/page`, origin, protocol: new URL(origin).protocol };
  globalThis.document = document;
  t.after(() => {
    delete globalThis.location;
    delete globalThis.document;
  });
  return { jar, written };
}
