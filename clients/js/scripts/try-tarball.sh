#!/usr/bin/env bash
# Packs the package and uses it as its readme says, in a temporary folder: in plain Node, and in a fresh Vite project in
# TypeScript, built and served under the strict policy, and on Vite's development server. Needs npm's registry and a browser
# (chromium, or what POUW_BROWSERS names first).
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

npm run --silent build
npm pack --silent --pack-destination "$folder" >/dev/null
tarball=$(echo "$folder"/pouw-*.tgz)
tar -tzf "$tarball" | sed 's|^package/||' | grep -v '^dist/' | sort | tr '\n' ' '
echo

node_project() {
    mkdir "$folder/node"
    cd "$folder/node"
    npm init --yes >/dev/null
    npm install --silent --no-audit --no-fund "$tarball"
    # Its types need nothing of a browser's.
    npm install --silent --no-audit --no-fund --save-dev typescript @types/node@20
    cat >check.mts <<'TS'
import { createPouwClient } from 'pouw';
const client = createPouwClient({ deadlineMs: 1_000 });
client.addEventListener('solved', ({ detail }) => console.log(detail.result.resultHash));
const response: Response = await client.fetch(new URL('https://example.invalid/'), { method: 'POST' });
console.log(response.status);
TS
    npx tsc --noEmit --strict --module nodenext --target es2022 --lib es2022 --types node check.mts
}

vite_project() {
    mkdir -p "$folder/vite/src"
    cd "$folder/vite"
    npm init --yes >/dev/null
    npm pkg set type=module >/dev/null
    npm install --silent --no-audit --no-fund --save-dev vite typescript
    npm install --silent --no-audit --no-fund "$tarball"
    cat >index.html <<'HTML'
<!doctype html>
<html lang="en">
  <head><meta charset="utf-8" /><title>pouw</title></head>
  <body><pouw-progress></pouw-progress><script type="module" src="/src/main.ts"></script></body>
</html>
HTML
    cat >vite.config.js <<'JS'
const target = process.env.API;
export default {
  optimizeDeps: { exclude: ['pouw'] },
  server: { port: Number(process.env.PORT), strictPort: true, proxy: { '/api': target, '/report': target } },
};
JS
    cat >tsconfig.json <<'JSON'
{
  "compilerOptions": {
    "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "lib": ["ES2022", "DOM", "DOM.Iterable"],
    "types": [], "strict": true, "exactOptionalPropertyTypes": true, "noEmit": true
  },
  "include": ["src"]
}
JSON
    cat >src/main.ts <<'TS'
import { createPouwClient, PouwError } from 'pouw';
import 'pouw/element';

const report: { warnings: string[]; text?: string; solved: number; error?: string; said?: string | null } = { warnings: [], solved: 0 };
const client = createPouwClient({ maxCost: { bytes: 1 << 20, hashes: 2000, seconds: 10 } });
client.addEventListener('warning', ({ detail }) => report.warnings.push(`${detail.code}: ${detail.message}`));
client.addEventListener('accepted', ({ detail }) => (report.solved += detail.microJoules === undefined ? 0 : 1));
const element = document.querySelector('pouw-progress')!;
element.client = client;
try {
  const response = await client.fetch('/api/hello', { method: 'POST', body: 'vite' });
  report.text = await response.text();
  report.said = element.shadowRoot?.querySelector('[role=status]')?.textContent ?? null;
} catch (error) {
  report.error = error instanceof PouwError ? error.code : String(error);
}
client.close();
await fetch('/report', { method: 'POST', body: JSON.stringify(report) });
TS
    npx tsc --noEmit
    npx vite build --logLevel warn
    ls -1 dist/assets
}

(node_project)
(vite_project)
node scripts/try-tarball.mjs "$folder"
