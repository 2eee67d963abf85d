// The work of a page: the tasks of its main thread, from the browser's trace.

/**
 * Runs `work` and returns the time of the page's main thread and its longest task, in ms. Processor time, so that a busy
 * machine does not change the result.
 */
export async function measured(browser, page, work) {
  await browser.startTracing(page, { categories: ["-*", "toplevel", "disabled-by-default-devtools.timeline", "blink.user_timing"] });
  await page.evaluate(() => performance.mark("measured"));
  await work();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  // The mark identifies the thread of this page.
  const { pid, tid, ts } = traceEvents.find(({ name }) => name === "measured");
  const tasks = traceEvents.filter((event) => event.pid === pid && event.tid === tid && event.ts > ts && event.name === "RunTask" && event.tdur !== undefined);
  const times = tasks.map(({ tdur }) => tdur / 1_000);
  return { total: times.reduce((sum, ms) => sum + ms, 0), longest: Math.max(...times) };
}

/** The heap bytes and DOM nodes of a page after garbage collection. */
export async function memory(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize: heap } = await session.send("Runtime.getHeapUsage");
  const { nodes } = await session.send("Memory.getDOMCounters");
  await session.detach();
  return { heap, nodes };
}
