// Drives a Firefox as it is installed, over the protocol it has for that on a socket: for browsers that came without
// a driver.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The Firefox that POUW_FIREFOX names, else the one of the usual places; undefined where there is none. */
export function firefox() {
  const paths = [process.env.POUW_FIREFOX, '/usr/bin/firefox-esr', '/usr/bin/firefox'];
  return paths.find((path) => path && existsSync(path));
}

/** A Firefox without a window, with a profile of its own. */
export class Firefox {
  #folder = mkdtempSync(join(tmpdir(), 'pouw-firefox-'));
  #process;
  #socket;
  #last = 0;
  #waiting = new Map();

  static async launch() {
    const browser = new Firefox();
    try {
      await browser.#start();
      return browser;
    } catch (error) {
      await browser.close();
      throw error;
    }
  }

  async #start() {
    writeFileSync(join(this.#folder, 'user.js'), 'user_pref("marionette.port", 0);\n');
    const args = ['--headless', '--no-remote', '--marionette', '--profile', this.#folder];
    this.#process = spawn(firefox(), args, { stdio: 'ignore', detached: true });
    // It writes down which port it took.
    const place = join(this.#folder, 'MarionetteActivePort');
    for (let tries = 0; !existsSync(place) || readFileSync(place, 'utf8') === ''; tries++) {
      if (tries > 600) throw new Error('the browser does not start');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const port = Number(readFileSync(place, 'utf8'));
    // A moment later it listens there.
    for (let tries = 0; this.#socket === undefined; tries++) {
      const socket = connect(port, '127.0.0.1');
      const error = await once(socket, 'connect').then(
        () => undefined,
        (error) => error,
      );
      if (error === undefined) this.#socket = socket;
      else if (tries > 600) throw error;
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const greeted = new Promise((resolve) => this.#waiting.set('greeting', resolve));
    this.#read();
    await greeted;
    await this.#ask('WebDriver:NewSession', {
      capabilities: { alwaysMatch: { unhandledPromptBehavior: 'ignore' } },
    });
    await this.#ask('WebDriver:SetTimeouts', { script: 300_000, pageLoad: 30_000 });
  }

  /** Messages are JSON, with their length in bytes and a colon before. */
  #read() {
    let rest = Buffer.alloc(0);
    this.#socket.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      for (;;) {
        const colon = rest.indexOf(':');
        const end = colon + 1 + Number(rest.toString('latin1', 0, colon));
        if (colon < 0 || rest.length < end) return;
        this.#hear(JSON.parse(rest.toString('utf8', colon + 1, end)));
        rest = rest.subarray(end);
      }
    });
    const lost = () => {
      for (const answer of this.#waiting.values()) answer([1, 0, { message: 'the browser is gone' }, null]);
    };
    this.#socket.on('error', lost).on('close', lost);
  }

  #hear(message) {
    const key = Array.isArray(message) ? message[1] : 'greeting';
    this.#waiting.get(key)?.(message);
    this.#waiting.delete(key);
  }

  async #ask(command, parameters) {
    const id = ++this.#last;
    const text = JSON.stringify([0, id, command, parameters]);
    const answered = new Promise((resolve) => this.#waiting.set(id, resolve));
    this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    const [, , error, result] = await answered;
    if (error) throw new Error(`${command}: ${error.message}`);
    return result;
  }

  async goto(url) {
    await this.#ask('WebDriver:Navigate', { url });
  }

  /** Sends a command of the protocol; returns what it gives, or true. */
  async command(name, parameters = {}) {
    return (await this.#ask(name, parameters)) ?? true;
  }

  /** Runs a function in the page; the promise it gives is waited for. */
  async evaluate(work, ...args) {
    const script = `const done = arguments[arguments.length - 1];
      const given = [...arguments].slice(0, -1);
      (async () => (${work})(...given))().then(
        (value) => done({ value }),
        (error) => done({ error: String(error) + ' ' + error?.stack }),
      );`;
    const { value } = await this.#ask('WebDriver:ExecuteAsyncScript', { script, args, sandbox: null });
    if (value.error) throw new Error(value.error);
    return value.value;
  }

  /** A picture of the whole page, as a PNG file. */
  async screenshot() {
    const { value } = await this.#ask('WebDriver:TakeScreenshot', { full: true });
    return Buffer.from(value, 'base64');
  }

  async close() {
    this.#socket?.destroy();
    const child = this.#process;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      // It and the processes it started are a group of their own.
      process.kill(-child.pid, 'SIGKILL');
      await once(child, 'exit');
    }
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
