const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;
const LONGEST = 40;
/** The latest instant that RFC 3339 text can name whatever its offset, in Unix milliseconds. */
export const MAX_UNIX_MS = 253_402_207_199_999;

/** Whether this is RFC 3339 text that names an instant from 1970 to 9999-12-30 which is in the calendar. */
export function isRfc3339(value: unknown): boolean {
  if (typeof value !== 'string' || value.length > LONGEST) return false;
  const parts = RFC3339.exec(value);
  if (parts === null) return false;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as number[];
  const local = Date.UTC(year!, month! - 1, day!, hour!, minute!, Math.min(second!, 59));
  const date = new Date(local);
  const inCalendar = date.getUTCMonth() === month! - 1 && date.getUTCDate() === day! && year! >= 1969;
  if (!inCalendar || hour! > 23 || minute! > 59 || second! > 60) return false;
  const [ahead, aheadMinutes] = [Number(parts[9] ?? 0), Number(parts[10] ?? 0)];
  if (ahead > 25 || aheadMinutes > 59) return false;
  const offset = (ahead * 60 + aheadMinutes) * 60_000 * (parts[8] === '-' ? -1 : 1);
  const fraction = Number(`0.${parts[7] ?? 0}`);
  const at = local + Math.floor(fraction * 1000) - offset;
  return at >= 0 && at <= MAX_UNIX_MS;
}

/** Milliseconds that only go forward, whatever the wall clock does. */
export function monotonicMs(): number {
  return performance.now();
}

/** The longest a timer can be set for. */
export const TIMER_MAX_MS = 2 ** 31 - 1;

/**
 * Waits until the monotonic clock shows `atMs`, however early or late timers fire (they are throttled in
 * background tabs). Rejects with the signal's reason.
 */
export async function sleepUntil(atMs: number, signal?: AbortSignal): Promise<void> {
  for (;;) {
    signal?.throwIfAborted();
    const left = atMs - monotonicMs();
    if (left <= 0) return;
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(
        () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
        Math.min(Math.ceil(left), TIMER_MAX_MS),
      );
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

/** The promise, or the rejection of the signal if that comes first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
