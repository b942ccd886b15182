import type { Engine, Hashes } from './hashing.js';
import { monotonicMs } from './time.js';
import type { Progress } from './types.js';
import type { Task } from './validate.js';

/** How long to hash before others get their turn. */
const SLICE_MS = 8;

/** Options of {@link hashTask}. */
export interface HashOptions {
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Hashes in slices of a few milliseconds, so that the thread it runs on stays responsive. */
export async function hashTask(engine: Engine, task: Task, options: HashOptions = {}): Promise<Hashes> {
  const { onProgress, signal } = options;
  const total = task.nodeCount;
  signal?.throwIfAborted();
  const run = await engine.begin(task);
  let sliceEnd = monotonicMs() + SLICE_MS;
  let told = 0;
  while (run.done < total) {
    run.step();
    const over = monotonicMs() >= sliceEnd;
    if (run.done > told && (over || run.done === total)) {
      told = run.done;
      onProgress?.({ done: told, total });
    }
    if (over && run.done < total) {
      await nextTurn();
      signal?.throwIfAborted();
      sliceEnd = monotonicMs() + SLICE_MS;
    }
  }
  return run.finish();
}

/** Lets the event loop turn once. Not a timer: those are throttled in background tabs. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
