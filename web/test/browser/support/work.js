// How much work a page has: the tasks of its main thread, as the browser's own trace has them.

/**
 * Runs `work` and yields the time that the main thread of the page spent on it, and its longest task, in ms. It is the time
 * of the processor, so that a busy machine does not make a page slow.
 */
export async function measured(browser, page, work) {
  await browser.startTracing(page, { categories: ["-*", "toplevel", "disabled-by-default-devtools.timeline", "blink.user_timing"] });
  await page.evaluate(() => performance.mark("measured"));
  await work();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  // The mark says which of all threads is the one of this page.
  const { pid, tid, ts } = traceEvents.find(({ name }) => name === "measured");
  const tasks = traceEvents.filter((event) => event.pid === pid && event.tid === tid && event.ts > ts && event.name === "RunTask" && event.tdur !== undefined);
  const times = tasks.map(({ tdur }) => tdur / 1_000);
  return { total: times.reduce((sum, ms) => sum + ms, 0), longest: Math.max(...times) };
}

/** What a page holds after its garbage is collected: bytes of its heap, and nodes. */
export async function memory(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize: heap } = await session.send("Runtime.getHeapUsage");
  const { nodes } = await session.send("Memory.getDOMCounters");
  await session.detach();
  return { heap, nodes };
}
