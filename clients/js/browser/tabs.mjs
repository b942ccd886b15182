// Two tabs of one window, the first one in the background. The driver of the other tests shows pages as visible always.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from '../node_modules/undici/index.js';
import { chromiumPath } from './harness.mjs';
import { Firefox } from './marionette.mjs';

/** Opens an address in Chromium, and another tab in front; returns what evaluates an expression in the first. */
async function inChromium(t, url) {
  const folder = mkdtempSync(join(tmpdir(), 'pouw-chromium-'));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const args = ['--headless=new', '--no-sandbox', '--remote-debugging-port=0', `--user-data-dir=${folder}`];
  const browser = spawn(chromiumPath(), args, { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(async () => {
    browser.kill();
    if (browser.exitCode === null) await once(browser, 'exit');
  });
  let said = '';
  for await (const text of browser.stderr) if (/ws:\/\/\S+\n/.test((said += text))) break;
  const { host } = new URL(/ws:\/\/\S+/.exec(said)[0]);
  const add = async (address) => {
    const made = await fetch(`http://${host}/json/new?${encodeURIComponent(address)}`, { method: 'PUT' });
    return (await made.json()).webSocketDebuggerUrl;
  };
  const socket = new WebSocket(await add(url));
  t.after(() => socket.close());
  await once(socket, 'open');
  await add('about:blank');
  let last = 0;
  return async (expression) => {
    const id = ++last;
    const answered = new Promise((resolve) => {
      const hear = ({ data }) => {
        const message = JSON.parse(data);
        if (message.id !== id) return;
        socket.removeEventListener('message', hear);
        resolve(message.result?.result?.value);
      };
      socket.addEventListener('message', hear);
    });
    socket.send(JSON.stringify({ id, method: 'Runtime.evaluate', params: { expression } }));
    return answered;
  };
}

/** The same in Firefox. */
async function inFirefox(t, url) {
  const browser = await Firefox.launch();
  t.after(() => browser.close());
  const { value: first } = await browser.command('WebDriver:GetWindowHandle');
  await browser.goto(url);
  const { handle } = await browser.command('WebDriver:NewWindow', { type: 'tab', focus: true });
  await browser.command('WebDriver:SwitchToWindow', { handle, focus: true });
  await browser.command('WebDriver:SwitchToWindow', { handle: first, focus: false });
  // A page that is about to be replaced may not answer.
  return (expression) =>
    browser.evaluate((expression) => (0, eval)(expression), expression).catch(() => undefined);
}

/** By the name of the browser. */
export const behindAnotherTab = { Chromium: inChromium, Firefox: inFirefox };
