// Small tools for what can be ended: signals and promises; and how long to pause between attempts.

import { TidelineError } from "./errors.js";

/** A longer one would overflow, and fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Full jitter: anything up to a bound that doubles. What a server asked for is waited out first. */
export const backoff = ({ base, cap }, failures, error) =>
  (error?.retryAfterMs ?? 0) + Math.random() * Math.min(cap, base * 2 ** Math.min(failures, 30));

/**
 * A signal that ends with any of these, or after a time. `done` lets go of all of them, so that nothing is left behind.
 * It is among `all` meanwhile: for the many that `close` ends, which would be too many listeners of one signal.
 */
export function linked(signals, { ms, all } = {}) {
  const controller = new AbortController();
  const given = signals.filter(Boolean);
  const end = (event) => controller.abort(event.target.reason);
  for (const signal of given) signal.aborted ? controller.abort(signal.reason) : signal.addEventListener("abort", end);
  const late = new TidelineError({ code: "timeout", detail: `no answer within ${ms} ms` });
  const timer = ms === undefined ? undefined : setTimeout(() => controller.abort(late), Math.min(ms, LONGEST_TIMER_MS));
  const done = () => {
    clearTimeout(timer);
    all?.delete(link);
    for (const signal of given) signal.removeEventListener("abort", end);
  };
  const link = { signal: controller.signal, abort: (reason) => controller.abort(reason), done };
  all?.add(link);
  return link;
}

/** The promise's outcome, or the signal's end if that comes first. */
export function abortable(promise, signal) {
  if (!signal) return Promise.resolve(promise);
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) return end();
    signal.addEventListener("abort", end, { once: true });
    Promise.resolve(promise).then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}

/** For promises that nobody has to look at, because events tell the same: unhandled, a rejection would end a process. */
export function handled(promise) {
  promise.catch(() => {});
  return promise;
}
