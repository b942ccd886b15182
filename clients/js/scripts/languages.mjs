// The languages, as the server and as the demonstration page need them.
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../page/languages/', import.meta.url);

/** Names of the files for the crate, and their content. */
export function served() {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return Object.fromEntries(
    names.map((name) => {
      const all = JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
      const { tag, direction, served, reasons, progress, challenge } = all;
      const words = { progress, challenge };
      // The server keeps the space for what the script says at the end.
      const { failed, formReady } = challenge;
      const content = { tag, direction, served: { ...served, failed, formReady }, reasons, words };
      return [name, Buffer.from(`${JSON.stringify(content)}\n`)];
    }),
  );
}

/** For esbuild: leaves out what the demonstration page does not show. */
export const demoTexts = {
  name: 'demo-texts',
  setup(build) {
    build.onLoad({ filter: /[\\/]languages[\\/]\w+\.json$/ }, ({ path }) => {
      const { tag, direction, progress, reasons, demo } = JSON.parse(readFileSync(path, 'utf8'));
      return { contents: JSON.stringify({ tag, direction, progress, reasons, demo }), loader: 'json' };
    });
  },
};
