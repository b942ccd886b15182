/**
 * `<pouw-progress>`: shows what a client is doing. Importing this module defines it where there are custom elements.
 *
 * @packageDocumentation
 */
import type { PouwClient } from './client.js';
import { css } from './element-styles.js';
import type { PouwEvent } from './events.js';
import { english, type PouwStrings } from './strings.js';

export { english, type PouwStrings } from './strings.js';

/** The element. */
export interface PouwProgressElement extends HTMLElement {
  /** The client it follows; it shows nothing until that client meets a limit. */
  client: PouwClient | undefined;
  /** Its words; members that are left out stay as they are. */
  strings: Partial<PouwStrings>;
}

declare global {
  interface HTMLElementTagNameMap {
    'pouw-progress': PouwProgressElement;
  }
}

const SVG = 'http://www.w3.org/2000/svg';
type Phase = 'idle' | 'working' | 'waiting' | 'held' | 'accepted' | 'failed';

/** Defines the element. Does nothing where there are no custom elements, or when it is defined already. */
export function definePouwProgress(name = 'pouw-progress'): void {
  if (typeof customElements === 'undefined' || customElements.get(name) !== undefined) return;
  customElements.define(name, makeClass());
}

// Inside a function: there is no HTMLElement to extend on a server.
function makeClass(): CustomElementConstructor {
  return class extends HTMLElement implements PouwProgressElement {
    #client: PouwClient | undefined;
    #strings: PouwStrings = english;
    #listening = new AbortController();
    #phase: Phase = 'idle';
    #done = 0;
    #total = 1;
    #box = document.createElement('div');
    #bar = document.createElement('div');
    #fill = document.createElementNS(SVG, 'rect');
    #text = document.createElement('p');

    constructor() {
      super();
      const root = this.attachShadow({ mode: 'open' });
      // Constructed: a strict policy refuses style elements and attributes, but not these.
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(css);
      root.adoptedStyleSheets = [sheet];
      this.#bar.setAttribute('role', 'progressbar');
      this.#bar.setAttribute('part', 'bar');
      this.#bar.setAttribute('aria-valuemin', '0');
      const picture = document.createElementNS(SVG, 'svg');
      picture.setAttribute('aria-hidden', 'true');
      picture.setAttribute('preserveAspectRatio', 'none');
      this.#fill.setAttribute('height', '100%');
      picture.append(this.#fill);
      this.#bar.append(picture);
      // Beside the bar, not in it: what is inside a progress bar is not read out. Always there, so that a change of
      // its text is noticed.
      this.#text.setAttribute('part', 'text');
      this.#text.setAttribute('role', 'status');
      this.#text.setAttribute('aria-live', 'polite');
      this.#box.append(this.#bar);
      root.append(this.#box, this.#text);
      this.#show();
    }

    connectedCallback(): void {
      // Set before the element was defined: then it hides the accessor.
      for (const property of ['strings', 'client'] as const) {
        if (!Object.hasOwn(this, property)) continue;
        const value = this[property];
        delete (this as Partial<PouwProgressElement>)[property];
        Object.assign(this, { [property]: value });
      }
      this.#follow();
    }

    disconnectedCallback(): void {
      this.#listening.abort();
    }

    get client(): PouwClient | undefined {
      return this.#client;
    }

    set client(client: PouwClient | undefined) {
      this.#client = client;
      this.#phase = 'idle';
      this.#show();
      if (this.isConnected) this.#follow();
    }

    get strings(): PouwStrings {
      return this.#strings;
    }

    set strings(strings: Partial<PouwStrings>) {
      this.#strings = { ...this.#strings, ...strings };
      this.#show();
    }

    #follow(): void {
      this.#listening.abort();
      this.#listening = new AbortController();
      const client = this.#client;
      if (client === undefined) return;
      const options = { signal: this.#listening.signal };
      const enter = (phase: Phase, done = this.#done, total = this.#total) => {
        this.#phase = phase;
        this.#done = done;
        this.#total = total;
        this.#show();
      };
      client.addEventListener(
        'challenge',
        ({ detail }) => enter('working', 0, detail.unit.nodeCount),
        options,
      );
      client.addEventListener(
        'progress',
        ({ detail }: PouwEvent<'progress'>) => enter('working', detail.done, detail.total),
        options,
      );
      client.addEventListener('solved', ({ detail }) => enter('waiting', detail.unit.nodeCount), options);
      client.addEventListener('waiting', () => enter('held'), options);
      client.addEventListener('accepted', () => enter('accepted'), options);
      client.addEventListener(
        'failed',
        // Not what the page itself called off.
        ({ detail: { error } }) => enter(isTrouble(error) ? 'failed' : 'idle'),
        options,
      );
    }

    #show(): void {
      const { label, value } = this.#strings;
      const phase = this.#phase;
      this.#box.classList.toggle('idle', phase !== 'working' && phase !== 'waiting');
      this.#bar.setAttribute('aria-label', label);
      this.#bar.setAttribute('aria-valuemax', String(this.#total));
      this.#bar.setAttribute('aria-valuenow', String(this.#done));
      this.#bar.setAttribute('aria-valuetext', value(this.#done, this.#total));
      this.#fill.setAttribute('width', `${(100 * this.#done) / this.#total}%`);
      const text = phase === 'idle' ? '' : this.#strings[phase];
      // Only what is new is said: a live region repeats itself when the same text is set again.
      if (this.#text.textContent !== text) this.#text.textContent = text;
    }
  };
}

/** By name: the error may be of the same class in another standalone file. */
function isTrouble(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  return name === 'PouwError' && code !== 'closed' && code !== 'declined';
}

definePouwProgress();
