// The errors, and how a response of the server becomes one.

/** After these codes the application resyncs, with all conversations. */
export const RESYNC = ["cursor_ahead", "epoch_changed", "inbox_trimmed"];
/** With these codes the server has ended the session. */
export const SESSION_ENDED = ["unauthenticated", "device_revoked", "refresh_invalid", "user_deactivated"];

/** Every failure: a refusal of the server (switch on `code`), or `network`, `timeout`, `closed`, … with status 0. */
export class TidelineError extends Error {
  constructor({ code, status = 0, detail, request_id = null, errors = [], retryAfterMs = null, current = null, draft = null, cause }) {
    super(detail ?? code, cause === undefined ? undefined : { cause });
    this.name = "TidelineError";
    this.code = code;
    this.status = status;
    this.detail = this.message;
    this.request_id = request_id;
    this.errors = errors;
    this.retryAfterMs = retryAfterMs;
    this.current = current;
    this.draft = draft;
  }

  /** Whether the same request may succeed later. */
  get transient() {
    return this.code === "network" || this.code === "timeout" || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** The longest pause that a server can request. Timers overflow at 24.8 days, and would then fire immediately. */
export const LONGEST_PAUSE_MS = 3_600_000;

/** A pause that a server requests, in ms. Null when it is not a number of ms: then the client's own back-off is used. */
export const asked = (ms) => (Number.isFinite(ms) && ms >= 0 ? Math.min(ms, LONGEST_PAUSE_MS) : null);

/** `Retry-After`: seconds, or a date. */
function retryAfter(header) {
  if (header === null) return null;
  return asked(/^\s*[\d.]+\s*$/.test(header) ? Number.parseFloat(header) * 1_000 : Math.max(0, Date.parse(header) - Date.now()));
}

/** The error of a response. A response without a code does not come from Tideline but from a proxy. */
export function refusal(response, problem) {
  // With 409 it says when the user may try again, perhaps in days; otherwise it is the pause before a repeat.
  const later = response.status === 409 && problem?.retry_after_ms > 0 ? problem.retry_after_ms : asked(problem?.retry_after_ms);
  const retryAfterMs = later ?? retryAfter(response.headers.get("Retry-After"));
  const request_id = problem?.request_id ?? response.headers.get("X-Request-Id");
  if (typeof problem?.code !== "string") {
    // A proxy that takes no body of this size will not take it later either.
    if (response.status === 413) return new TidelineError({ code: "payload_too_large", status: 413, detail: "a proxy refuses a request of this size", request_id });
    return new TidelineError({ code: "network", detail: `the response is ${response.status}, and not Tideline's`, request_id, retryAfterMs });
  }
  const { code, detail, errors, message: current, draft } = problem;
  return new TidelineError({ code, status: response.status, detail, request_id, errors, retryAfterMs, current, draft });
}
