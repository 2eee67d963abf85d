// Small tools for cancellation (signals and promises), and for the pause between attempts.

import { TidelineError } from "./errors.js";
import { BETWEEN_WAITS_MS, MAX_PAUSE_MS } from "./limits.js";

/** A longer timer would overflow, and fire immediately. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Full jitter: a random pause up to a bound that doubles. A pause that the server requested comes first. */
export const backoff = ({ base, cap }, failures, error) =>
  (error?.retryAfterMs ?? 0) + Math.random() * Math.min(cap, base * 2 ** Math.min(failures, 30));

/** The part of a pause that the server may ask for between two waits. The rest is random, so that devices do not come together. */
const ASKED_MS = MAX_PAUSE_MS * 0.75;

/** The pause after a failed wait or fetch, and the part of it that the server has asked for. The last wait has ended `ago` ms before. */
export function pauseBetweenWaits({ base, cap }, failures, error, ago = Infinity) {
  const asked = Math.min(error?.retryAfterMs ?? 0, ASKED_MS);
  const ms = asked + backoff({ base, cap: Math.min(cap, MAX_PAUSE_MS - asked) }, failures);
  const left = BETWEEN_WAITS_MS - ago;
  const most = left > 0 ? left : Infinity;
  return { ms: Math.min(ms, most), atLeast: Math.min(asked, most) };
}

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
