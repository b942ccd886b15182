// Browsers for tests: those on the path, or those that POUW_BROWSERS names, separated by commas.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Names of browsers, and why each is left out, if it is. */
export function browsers() {
  const names = process.env.POUW_BROWSERS?.split(',') ?? ['chromium', 'firefox'];
  return names.map((name) => [
    name,
    spawnSync(name, ['--version']).status === 0 ? false : `there is no ${name}`,
  ]);
}

/** Opens a page in a browser without a window, with a profile of its own. Gives what ends it. */
export function launch(browser, url) {
  const folder = mkdtempSync(join(tmpdir(), 'pouw-browser-'));
  const chromium = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    `--user-data-dir=${folder}`,
  ];
  const firefox = ['--headless', '--no-remote', '--profile', folder];
  const args = [...(browser.includes('firefox') ? firefox : chromium), url];
  const child = spawn(browser, args, { stdio: 'ignore', detached: true });
  return async () => {
    if (child.exitCode === null) {
      // It and the processes it started are a group of their own.
      process.kill(-child.pid, 'SIGKILL');
      await once(child, 'exit');
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
}
