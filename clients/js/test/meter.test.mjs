// The measure behind the bar and the seconds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Meter, readOutEveryMs } from '../dist/meter.js';

/** What is shown at some times; `does` is called before each of them. */
function shown(meter, times, does = () => {}) {
  return times.map((at) => {
    does(at);
    const { fraction, seconds, late } = meter.read(at);
    return [Math.round(100 * fraction), late ? 'late' : seconds];
  });
}

test('with the work done at once, it follows the floor', () => {
  const meter = new Meter(1_000, 4_000, 7);
  assert.deepEqual(shown(meter, [1_000, 1_010]), [
    [0, undefined],
    [0, undefined],
  ]);
  meter.progress(7);
  meter.solved();
  assert.deepEqual(shown(meter, [1_020, 2_000, 3_000, 4_500, 5_000, 9_000]), [
    [1, 4],
    [25, 3],
    [50, 2],
    [88, 1],
    [100, 0],
    [100, 0],
  ]);
});

test('with work that is longer than the floor, it follows the work', () => {
  const meter = new Meter(0, 1_000, 100);
  const steady = (at) => meter.progress(Math.floor(at / 100));
  assert.deepEqual(shown(meter, [200, 400, 1_000, 5_000, 9_950], steady), [
    [2, undefined],
    [4, 10],
    [10, 9],
    [50, 5],
    [99, 1],
  ]);
  meter.solved();
  assert.deepEqual(shown(meter, [10_000]), [[100, 0]]);
});

test('work that becomes slower than estimated is late, and neither the bar nor the seconds go back', () => {
  const meter = new Meter(0, 1_000, 100);
  meter.progress(10);
  assert.deepEqual(shown(meter, [400, 500, 600]), [
    [10, 4],
    [10, 4],
    [10, 'late'],
  ]);
  meter.progress(90);
  assert.deepEqual(shown(meter, [1_000, 2_000]), [
    [90, 'late'],
    [90, 'late'],
  ]);
  meter.solved();
  assert.deepEqual(shown(meter, [2_001]), [[100, 0]]);
});

test('work without any progress shows the floor, then that it is late', () => {
  const meter = new Meter(0, 8_000, 1);
  assert.deepEqual(shown(meter, [100, 400, 7_999, 8_000]), [
    [0, undefined],
    [0, 8],
    [0, 1],
    [0, 'late'],
  ]);
  const without = new Meter(0, 0, 1);
  assert.deepEqual(shown(without, [0, 4_999, 5_000]), [
    [0, undefined],
    [0, undefined],
    [0, 'late'],
  ]);
});

test('a wait without work counts down', () => {
  assert.deepEqual(shown(new Meter(0, 3_000), [0, 1, 1_500, 2_999, 3_000]), [
    [0, 3],
    [0, 3],
    [50, 2],
    [100, 1],
    [100, 0],
  ]);
  assert.deepEqual(shown(new Meter(0, 0), [0]), [[100, 0]]);
});

test('whatever happens, the bar and the seconds only go one way', () => {
  let state = 1;
  const random = (most) => (state = (state * 48_271) % 2_147_483_647) % most;
  for (let run = 0; run < 300; run++) {
    const total = 1 + random(40);
    const meter = new Meter(0, random(3_000), total);
    let [at, done, before] = [0, 0, { fraction: 0, seconds: Infinity }];
    for (let step = 0; step < 60; step++) {
      at += random(300);
      done = Math.min(total, done + random(3));
      meter.progress(done);
      if (done === total && random(4) === 0) meter.solved();
      const now = meter.read(at);
      assert.ok(now.fraction >= before.fraction && now.fraction <= 1, `run ${run}`);
      assert.ok(now.seconds === undefined || now.seconds <= before.seconds, `run ${run}`);
      before = { fraction: now.fraction, seconds: now.seconds ?? before.seconds };
    }
  }
});

test('the less time is left, the more often it is read out, and never each second', () => {
  const steps = [3_600, 601, 600, 61, 60, 16, 15, 1, 0].map((seconds) => readOutEveryMs(seconds) / 1_000);
  assert.deepEqual(steps, [300, 300, 30, 30, 15, 15, 5, 5, 5]);
  const said = [];
  for (let left = 3_600; left > 0; left -= readOutEveryMs(left) / 1_000) said.push(left);
  assert.equal(said.length, 34, String(said));
});
