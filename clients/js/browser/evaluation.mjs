// What is measured, the same in Node and in a page.

/** Milliseconds that each of `count` units took to compute, one after the other; `unitOf` gives them. */
export async function computeTimes(computeWorkUnit, unitOf, count) {
  const times = [];
  for (let at = 0; at < count; at++) {
    const unit = await unitOf(at);
    const started = performance.now();
    await computeWorkUnit(unit);
    times.push(performance.now() - started);
  }
  return times;
}

/**
 * Milliseconds from the 429 to the response behind the limit, of `samples` requests at once, each of a client of its
 * own. `addressOf` gives what the server tells the clients apart by.
 */
export async function admissionTimes(createPouwClient, url, samples, addressOf) {
  return Promise.all(
    Array.from({ length: samples }, async (_, at) => {
      const headers = { 'X-Forwarded-For': addressOf(at) };
      const free = await fetch(url, { headers });
      if (!free.ok) throw new Error(`the first request of a client gets ${free.status}`);
      let limitedAt;
      const client = createPouwClient({
        fetch: async (input, init) => {
          const response = await fetch(input, init);
          if (response.status === 429) limitedAt ??= performance.now();
          return response;
        },
      });
      const response = await client.fetch(url, { headers });
      const ms = performance.now() - limitedAt;
      client.close();
      if (response.headers.get('x-pouw-accepted') !== 'true')
        throw new Error(`not admitted: ${response.status}`);
      return ms;
    }),
  );
}
