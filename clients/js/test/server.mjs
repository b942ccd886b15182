// The real server with some work, for tests and measurements.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Eight files of ten leaves each. */
const FILES = Array.from({ length: 8 }, () => 40_000);

/** Runs the binary to its end and gives what it printed. */
function run(bin, ...words) {
  const { status, stdout, stderr, error } = spawnSync(bin, words, { encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(error ?? status, 0, `${bin} ${words.join(' ')}: ${stderr}`);
  return stdout;
}

/** A server that runs: its address, and what can be asked of it. */
export class Server {
  #bin;
  #folder;
  #db;
  #process;
  /** Where it listens. */
  url;

  /**
   * Ingests files of random bytes, of so many bytes each, and starts to serve. `settings` is the text of a
   * configuration file, `options` are words for the command line.
   */
  static async start(bin, { files = FILES, settings = '', options = [] } = {}) {
    const server = new Server();
    server.#bin = bin;
    server.#folder = mkdtempSync(join(tmpdir(), 'pouw-server-'));
    server.#db = join(server.#folder, 'db');
    const paths = files.map((bytes, i) => {
      const path = join(server.#folder, `${i}.bin`);
      writeFileSync(path, randomBytes(bytes));
      return path;
    });
    const config = join(server.#folder, 'pouw.toml');
    writeFileSync(config, settings);
    try {
      if (paths.length > 0) run(bin, 'ingest', '--db', server.#db, '--exposure', 'public', ...paths);
      const place = ['--db', server.#db, '--config', config, '--listen', '127.0.0.1:0'];
      server.#process = spawn(bin, ['serve', ...place, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
      let complaints = '';
      server.#process.stderr.on('data', (text) => (complaints += text));
      for await (const line of createInterface(server.#process.stdout)) {
        [server.url] = /http:\/\/[^,\s]+/.exec(line) ?? [];
        if (server.url) return server;
      }
      throw new Error(`the server ended: ${complaints}`);
    } catch (error) {
      await server.close();
      throw error;
    }
  }

  /** Ends the process; what is in the store stays. */
  async stop(signal = 'SIGTERM') {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, 'exit');
  }

  /** Ends the process and removes the store. */
  async close() {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Value of a metric, as it is written there: `pouw_leases`, `pouw_issued_total{tier="low"}`. */
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const line = text.split('\n').find((one) => one.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  /** Entries of the ledger. Stops the process, which has the store for itself. */
  async ledger() {
    await this.stop();
    return JSON.parse(run(this.#bin, 'ledger', '--db', this.#db, '--json')).entries;
  }
}

/** Starts a server that is closed when the test ends. */
export async function start(t, bin, setup) {
  const server = await Server.start(bin, setup);
  t.after(() => server.close());
  return server;
}
