// Small tools for cancellation (signals and promises), and for the pause between attempts.

import { TidelineError } from "./errors.js";

/** A longer timer would overflow, and fire immediately. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Full jitter: a random pause up to a bound that doubles. A pause that the server requested comes first. */
export const backoff = ({ base, cap }, failures, error) =>
  (error?.retryAfterMs ?? 0) + Math.random() * Math.min(cap, base * 2 ** Math.min(failures, 30));

/**
 * A signal that aborts with any of these, or after a time. `done` removes all its listeners.
 * It is in `all` meanwhile: `close` aborts that set, since one signal would have too many listeners.
 */
export function linked(signals, { ms, all } = {}) {
  const controller = new AbortController();
  const given = signals.filter(Boolean);
  const end = (event) => controller.abort(event.target.reason);
  for (const signal of given) signal.aborted ? controller.abort(signal.reason) : signal.addEventListener("abort", end);
  const late = new TidelineError({ code: "timeout", detail: `no response within ${ms} ms` });
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

/** The promise's outcome, or the signal's abort if that comes first. */
export function abortable(promise, signal) {
  if (!signal) return Promise.resolve(promise);
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) return end();
    signal.addEventListener("abort", end, { once: true });
    Promise.resolve(promise).then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}

/** For promises whose outcome events report as well: without a handler, a rejection would end a Node process. */
export function handled(promise) {
  promise.catch(() => {});
  return promise;
}
