// What fails, and how a refusal of the server is told.

/** After these the application starts over, with all conversations. */
export const RESYNC = ["cursor_ahead", "epoch_changed", "inbox_trimmed"];
/** With these the server has ended the session. */
export const SIGNED_OUT = ["unauthenticated", "device_revoked", "refresh_invalid"];

/** Every failure: a refusal of the server (`code` is what to switch on), or `network`, `timeout`, `closed`, … with status 0. */
export class TidelineError extends Error {
  constructor({ code, status = 0, detail, request_id = null, errors = [], retryAfterMs = null, cause }) {
    super(detail ?? code, cause === undefined ? undefined : { cause });
    this.name = "TidelineError";
    this.code = code;
    this.status = status;
    this.detail = this.message;
    this.request_id = request_id;
    this.errors = errors;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same request may do better later. */
  get transient() {
    return this.code === "network" || this.code === "timeout" || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** What the server answered instead of what was asked for. */
export function refusal(response, problem) {
  const seconds = Number.parseFloat(response.headers.get("Retry-After"));
  return new TidelineError({
    code: problem.code ?? "unexpected",
    status: response.status,
    detail: problem.detail ?? `the answer is ${response.status}, and not Tideline's`,
    request_id: problem.request_id ?? response.headers.get("X-Request-Id"),
    errors: problem.errors,
    retryAfterMs: problem.retry_after_ms ?? (seconds >= 0 ? seconds * 1_000 : null),
  });
}
