/**
 * `<pouw-progress>`: shows what a client is doing. Importing this module defines it where there are custom elements.
 *
 * @packageDocumentation
 */
import type { PouwClient } from './client.js';
import { css } from './element-styles.js';
import type { PouwEvent } from './events.js';
import { Meter, readOutEveryMs, type Reading } from './meter.js';
import { english, type PouwStrings } from './strings.js';
import { monotonicMs } from './time.js';

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
/** The phases that take time. */
const BUSY: Phase[] = ['working', 'waiting', 'held'];

const NOTHING: Reading = { fraction: 0, seconds: undefined, late: false };

/** How often the bar moves, and how often for people who want no motion. */
const TICK_MS = 200;
const STILL_TICK_MS = 1_000;
/** How long a beginning without a known time is not read out. */
const BEGIN_MS = 1_000;
/** How long the line that is read out has been there before its first text: else that is not noticed. */
const SETTLE_MS = 500;
/** How long after something else another text may be read out. */
const SAY_NEXT_MS = 5_000;
/** How long after something else the end may be read out. */
const SAY_END_MS = 3_000;
/** The time left is not read out when the end comes so soon that it could not be read out then. */
const SAY_LAST_S = 3;
/** Waits that end within this time of each other are shown as one. */
const SAME_END_MS = 1_000;
/** How long after a wait without work it is shown that the request is sent. Nothing reports what became of it. */
const GONE_MS = 30_000;

/** Defines the element. Does nothing where there are no custom elements, or when it is defined already. */
export function definePouwProgress(name = 'pouw-progress'): void {
  if (typeof customElements === 'undefined' || customElements.get(name) !== undefined) return;
  customElements.define(name, makeClass());
}

/** What the element shows at one moment. */
interface Shown extends Reading {
  phase: Phase;
  busy: boolean;
  /** The wait is over, and the request is on its way. */
  over: boolean;
  /** Something was read out since this wait began. */
  said: boolean;
  text: string;
  time: string;
}

// Inside a function: there is no HTMLElement to extend on a server.
function makeClass(): CustomElementConstructor {
  return class extends HTMLElement implements PouwProgressElement {
    #client: PouwClient | undefined;
    #strings: PouwStrings = english;
    #listening = new AbortController();
    #timer: ReturnType<typeof setInterval> | undefined;
    #phase: Phase = 'idle';
    #work: Meter | undefined;
    #held: Meter | undefined;
    /** The page is about to be left: what is shown stays until then. */
    #leaving = false;
    #later: ReturnType<typeof setTimeout> | undefined;
    #saidAt = -Infinity;
    #connectedAt = Infinity;
    #saidText = '';
    #box = document.createElement('div');
    #bar = document.createElement('div');
    #fill = document.createElementNS(SVG, 'rect');
    #text = document.createElement('p');
    #time = document.createElement('p');
    #heard = document.createElement('p');

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
      this.#bar.setAttribute('aria-valuemax', '100');
      const picture = document.createElementNS(SVG, 'svg');
      picture.setAttribute('aria-hidden', 'true');
      picture.setAttribute('preserveAspectRatio', 'none');
      this.#fill.setAttribute('height', '100%');
      picture.append(this.#fill);
      this.#bar.append(picture);
      this.#text.setAttribute('part', 'text');
      this.#time.setAttribute('part', 'time');
      // What changes every second is for the eyes; the line that is read out changes every few seconds. That line is
      // always there, so that a change of its text is noticed.
      for (const shown of [this.#text, this.#time]) shown.setAttribute('aria-hidden', 'true');
      this.#heard.className = 'heard';
      this.#heard.setAttribute('role', 'status');
      this.#heard.setAttribute('aria-live', 'polite');
      // The text comes last: it may need another line, and nothing below the bar moves then.
      this.#box.append(this.#bar, this.#time, this.#text);
      root.append(this.#box, this.#heard);
      this.#show();
    }

    connectedCallback(): void {
      this.#connectedAt = monotonicMs();
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
      clearInterval(this.#timer);
      clearTimeout(this.#later);
      this.#timer = undefined;
    }

    get client(): PouwClient | undefined {
      return this.#client;
    }

    set client(client: PouwClient | undefined) {
      this.#client = client;
      this.#enter('idle');
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
      client.addEventListener(
        'challenge',
        ({ detail: { unit, milliseconds } }) => {
          this.#work = new Meter(monotonicMs(), milliseconds ?? unit.waitMs, unit.nodeCount);
          for (const name of ['aria-valuenow', 'aria-valuetext']) this.#bar.removeAttribute(name);
          this.#enter('working');
        },
        options,
      );
      client.addEventListener(
        'progress',
        ({ detail }: PouwEvent<'progress'>) => {
          this.#work?.progress(detail.done);
          this.#enter('working');
        },
        options,
      );
      client.addEventListener(
        'solved',
        () => {
          this.#work?.solved();
          this.#enter('waiting');
        },
        options,
      );
      client.addEventListener('waiting', ({ detail }) => this.#hold(detail.milliseconds), options);
      // Of the challenge page only.
      client.addEventListener('leaving', () => this.#leave(), options);
      client.addEventListener('accepted', () => this.#enter('accepted'), options);
      client.addEventListener(
        'failed',
        // Not what the page itself called off.
        ({ detail: { error } }) => this.#enter(isTrouble(error) ? 'failed' : 'idle'),
        options,
      );
      this.#enter(this.#phase);
    }

    #leave(): void {
      this.#leaving = true;
      this.#held = new Meter(monotonicMs(), 0);
      this.#enter('held');
    }

    #hold(milliseconds: number): void {
      const now = monotonicMs();
      this.#leaving = false;
      // Several requests that wait for the same end do not begin the bar again. A wait of nothing ends one that is
      // about to end.
      const left = (this.#held?.endsAt ?? 0) - now;
      const same = this.#phase === 'held' && milliseconds <= left + SAME_END_MS;
      const ends = milliseconds === 0 && left < SAME_END_MS;
      if (!same || ends) this.#held = new Meter(now, milliseconds);
      this.#enter('held');
    }

    #enter(phase: Phase): void {
      this.#phase = phase;
      const ticks = BUSY.includes(phase) && this.isConnected;
      if (!ticks) {
        clearInterval(this.#timer);
        this.#timer = undefined;
      }
      this.#show();
      if (!ticks || this.#timer !== undefined) return;
      const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
      this.#timer = setInterval(() => this.#show(), still ? STILL_TICK_MS : TICK_MS);
    }

    #show(): void {
      const phase = this.#phase;
      const busy = BUSY.includes(phase);
      const meter = phase === 'held' ? this.#held : this.#work;
      const at = monotonicMs();
      const goneMs = this.#leaving ? Infinity : GONE_MS;
      if (phase === 'held' && at > (meter?.endsAt ?? at) + goneMs) return this.#enter('idle');
      const { fraction, seconds, late } = meter?.read(at) ?? NOTHING;
      this.#box.className = phase === 'idle' ? 'idle' : busy ? '' : 'over';
      this.#bar.setAttribute('aria-label', this.#strings.label);
      this.#fill.setAttribute('width', `${100 * fraction}%`);
      const over = (phase === 'waiting' || phase === 'held') && seconds === 0;
      const named = phase === 'working' && late ? 'longer' : over ? 'sending' : phase;
      const text = named === 'idle' ? '' : this.#strings[named];
      const time = busy && seconds !== undefined && seconds > 0 ? this.#strings.left(seconds) : '';
      // A text that is set again counts as a change, even if it is the same one.
      if (this.#text.textContent !== text) this.#text.textContent = text;
      if (this.#time.textContent !== time) this.#time.textContent = time;
      const said = this.#saidAt > at - (meter?.age(at) ?? 0);
      this.#say({ phase, busy, over, said, text, time, seconds, fraction, late });
    }

    /** Sets the line that is read out: at the beginning, at some steps, and at the end. */
    #say(now: Shown): void {
      clearTimeout(this.#later);
      const { phase, text, time, seconds = 0 } = now;
      if (text === '' && time === '') {
        this.#heard.textContent = '';
        return;
      }
      const at = monotonicMs();
      // At the very beginning the time left is not known for a moment; it is read out together with the rest.
      const begins = phase === 'working' && time === '' && !now.late;
      if (begins && (this.#work?.age(at) ?? 0) < BEGIN_MS) return;
      const ends = !now.busy || now.over;
      if (!ends && now.said && seconds > 0 && seconds <= SAY_LAST_S) return;
      const every = ends ? SAY_END_MS : text === this.#saidText ? readOutEveryMs(seconds) : SAY_NEXT_MS;
      const wait = Math.max(this.#saidAt + every, this.#connectedAt + SETTLE_MS) - at;
      if (wait > 0) {
        if (ends && this.isConnected) this.#later = setTimeout(() => this.#show(), wait);
        return;
      }
      const heard = text === this.#saidText && time !== '' ? time : [text, time].join(' ').trim();
      if (this.#heard.textContent !== heard) this.#heard.textContent = heard;
      this.#bar.setAttribute('aria-valuenow', String(Math.round(100 * now.fraction)));
      if (time === '') this.#bar.removeAttribute('aria-valuetext');
      else this.#bar.setAttribute('aria-valuetext', time);
      this.#saidText = text;
      this.#saidAt = at;
    }
  };
}

/** By name: the error may be of the same class in another standalone file. */
function isTrouble(error: unknown): boolean {
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
  return name === 'PouwError' && code !== 'closed' && code !== 'declined';
}

definePouwProgress();
