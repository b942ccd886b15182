/** What a {@link Meter} shows at one moment. */
export interface Reading {
  /** How much of it is over, 0 to 1; never less than before. */
  fraction: number;
  /** Whole seconds left, rounded up; never more than before. 0 at the end. Undefined while nothing is known. */
  seconds: number | undefined;
  /** It takes longer than the seconds shown before. */
  late: boolean;
}

/** Work has to go on for so long before a time is estimated from its progress. */
const SETTLE_MS = 300;
/** Without a floor and without progress, work is late after this time. */
const SILENT_MS = 5_000;
/** An estimate may become this much longer before it counts as exceeded. */
const TOLERANCE = 1.25;

/**
 * Measures a wait that ends when both a fixed time and some work are over, so it follows the longer of the two. Times
 * are milliseconds of a monotonic clock.
 */
export class Meter {
  #startedAt: number;
  #floorMs: number;
  /** Undefined: there is no work, or it is done. */
  #work: { done: number; total: number } | undefined;
  #fraction = 0;
  #seconds: number | undefined;
  #late = false;

  /** Starts at `nowMs`. `total` is the amount of work, if there is any. */
  constructor(nowMs: number, floorMs: number, total?: number) {
    this.#startedAt = nowMs;
    this.#floorMs = Math.max(0, floorMs);
    this.#work = total === undefined ? undefined : { done: 0, total: Math.max(1, total) };
  }

  /** When the fixed time ends. */
  get endsAt(): number {
    return this.#startedAt + this.#floorMs;
  }

  /** How long it has gone on. */
  age(nowMs: number): number {
    return nowMs - this.#startedAt;
  }

  /** Notes how much of the work is done. */
  progress(done: number): void {
    if (this.#work !== undefined) this.#work.done = Math.max(this.#work.done, done);
  }

  /** The work is done. */
  solved(): void {
    this.#work = undefined;
    this.#late = false;
  }

  /** Reads it. */
  read(nowMs: number): Reading {
    const elapsed = Math.max(0, nowMs - this.#startedAt);
    const floorPart = this.#floorMs > 0 ? Math.min(1, elapsed / this.#floorMs) : 1;
    const workPart = this.#work === undefined ? 1 : Math.min(1, this.#work.done / this.#work.total);
    this.#fraction = Math.max(this.#fraction, Math.min(floorPart, workPart));
    return { fraction: this.#fraction, seconds: this.#secondsLeft(elapsed), late: this.#late };
  }

  #secondsLeft(elapsed: number): number | undefined {
    const before = this.#seconds;
    const left = this.#msLeft(elapsed);
    // While there is work, the end is not there yet.
    const least = this.#work === undefined ? 0 : 1;
    const seconds = left === undefined ? undefined : Math.max(least, Math.ceil(left / 1000));
    if (this.#work !== undefined) this.#late ||= this.#isLate(elapsed, seconds);
    if (this.#late || seconds === undefined) return undefined;
    this.#seconds = Math.min(seconds, before ?? seconds);
    return this.#seconds;
  }

  /** Returns the time left; undefined while it is not known. */
  #msLeft(elapsed: number): number | undefined {
    const floorLeft = Math.max(0, this.#floorMs - elapsed);
    if (this.#work === undefined) return floorLeft;
    if (elapsed < SETTLE_MS) return undefined;
    const { done, total } = this.#work;
    if (done > 0) return Math.max(floorLeft, ((total - done) * elapsed) / done);
    return floorLeft > 0 ? floorLeft : undefined;
  }

  #isLate(elapsed: number, seconds: number | undefined): boolean {
    if (seconds === undefined) return elapsed >= Math.max(this.#floorMs, SILENT_MS);
    const before = this.#seconds;
    return before !== undefined && seconds > Math.max(before + 1, before * TOLERANCE);
  }
}

/** How often the time left is read out, by the seconds that are left at least. */
const STEPS: [leastSeconds: number, everyMs: number][] = [
  [600, 300_000],
  [60, 30_000],
  [15, 15_000],
  [0, 5_000],
];

/** How long after the time left was read out it is read out again, with so many seconds left. */
export function readOutEveryMs(seconds: number): number {
  return STEPS.find(([least]) => seconds > least)?.[1] ?? 5_000;
}
