// Without a server: retries and their pauses, ids, and a process that exits by itself.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { memoryStorage, Tideline, TidelineError, uuidv7 } from "../src/tideline.js";

const url = "http://tideline.invalid";
const id = "01890000-0000-7000-8000-000000000000";
const loggedIn = () => {
  const storage = memoryStorage();
  const session = { user: { id, username: "ann" }, device_id: "d", access_token: "a", refresh_token: "r" };
  storage.set(`tideline:${url}:session`, JSON.stringify(session));
  return storage;
};
const problem = (status, code, more = {}, headers = {}) =>
  new Response(JSON.stringify({ code, status, detail: code, request_id: "q", ...more }), { status, headers });

/** A client whose requests get these results, in turn: a Response, or an error to throw. */
function scripted(...responses) {
  const times = [];
  const fetch = async () => {
    times.push(Date.now());
    const response = responses.shift() ?? assert.fail("one request too many");
    if (response instanceof Error) throw response;
    return response;
  };
  const tideline = new Tideline({ url, fetch, storage: loggedIn(), backoff: { base: 1, cap: 2 } });
  return { tideline, times, left: responses };
}

describe("a call", () => {
  it("is repeated when it may do better, and waits as long as it is asked to", async () => {
    const { tideline, times } = scripted(
      new TypeError("fetch failed"),
      problem(503, "overloaded", {}, { "Retry-After": "0.2" }),
      problem(429, "rate_limited", { retry_after_ms: 120 }, { "Retry-After": "1" }),
      Response.json({ id }),
    );
    assert.equal((await tideline.getMe()).id, id);
    assert.ok(times[2] - times[1] >= 195 && times[2] - times[1] < 900, "Retry-After, where nothing is more exact");
    assert.ok(times[3] - times[2] >= 115 && times[3] - times[2] < 900, "retry_after_ms, where it is there");
  });

  it("gives up in the end, and immediately when it would have to wait for long", async () => {
    const lost = scripted(...Array(4).fill().map(() => new TypeError("fetch failed")));
    await assert.rejects(lost.tideline.getMe(), { code: "network", status: 0, transient: true });
    assert.equal(lost.left.length, 0);
    const { tideline } = scripted(problem(429, "rate_limited", { retry_after_ms: 60_000 }));
    await assert.rejects(tideline.getMe(), { code: "rate_limited", status: 429, retryAfterMs: 60_000, request_id: "q" });
  });

  it("is not repeated when that would do something twice, or cannot help", async () => {
    const register = scripted(problem(503, "storage_unavailable", { retry_after_ms: 1 }));
    await assert.rejects(register.tideline.register({ username: "ann", password: "correct horse" }), { code: "storage_unavailable" });
    const refused = scripted(problem(404, "not_found"));
    await assert.rejects(refused.tideline.leave(id), { code: "not_found" });
    const limited = scripted(problem(429, "rate_limited", { retry_after_ms: 1 }), problem(401, "invalid_credentials"));
    await assert.rejects(limited.tideline.login({ username: "ann", password: "correct horse" }), { code: "invalid_credentials" });
    const busy = scripted(problem(503, "overloaded", { retry_after_ms: 1 }), problem(409, "conflict"));
    await assert.rejects(busy.tideline.register({ username: "ann", password: "correct horse" }), { code: "conflict" });
  });

  it("knows that a DELETE was done whose response was lost", async () => {
    const { tideline } = scripted(new TypeError("fetch failed"), problem(404, "not_found"));
    assert.equal(await tideline.leave(id), null);
  });

  it("does not take a proxy's page for a response", async () => {
    const html = () => new Response("<html>Welcome to our hotel</html>");
    const { tideline } = scripted(html(), new Response("<h1>Bad gateway</h1>", { status: 502 }), Response.json({ id }));
    assert.equal((await tideline.getMe()).id, id);
    const { tideline: other } = scripted(...Array(4).fill().map(html));
    await assert.rejects(other.getMe(), (error) => error instanceof TidelineError && error.code === "network");
  });

  it("takes an option that is undefined for one that is not given", async () => {
    const asked = [];
    const fetch = async (href, { signal }) => {
      if (!href.includes("/v1/notices")) return Response.json({ conversations: [], next_cursor: null, inbox_seq: 0, epoch: "e" });
      asked.push(new URL(href).searchParams.get("timeout"));
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const backoff = { base: undefined, cap: undefined };
    const tideline = new Tideline({ url, fetch, storage: loggedIn(), waitSeconds: undefined, requestTimeoutMs: undefined, backoff });
    await tideline.start();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(asked, ["25"]);
    await tideline.close();
  });

  it("ends with its signal, with its time, and with the client", async () => {
    const fetch = (_, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const tideline = new Tideline({ url, fetch, storage: loggedIn(), requestTimeoutMs: 20, backoff: { base: 1, cap: 1 } });
    const controller = new AbortController();
    const call = tideline.getMe({ signal: controller.signal });
    controller.abort();
    await assert.rejects(call, { name: "AbortError" });
    await assert.rejects(tideline.getMe(), { code: "timeout" });
    const patient = new Tideline({ url, fetch, storage: loggedIn() });
    const starting = [patient.getMe(), patient.start(), patient.send(id, "hi")];
    await new Promise((resolve) => setTimeout(resolve, 20));
    await patient.close();
    for (const one of starting) await assert.rejects(one, { code: "closed" });
    await assert.rejects(patient.send(id, "too late"), { code: "closed" });
    assert.throws(() => new Tideline(), TypeError);
  });
});

it("makes ids that are UUIDv7 and sort as they were made", () => {
  const ids = Array.from({ length: 20_000 }, uuidv7);
  assert.deepEqual([...ids].sort(), ids);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const time = parseInt(ids[0].replaceAll("-", "").slice(0, 12), 16);
  assert.ok(Math.abs(time - Date.now()) < 10_000);
});

it("leaves nothing behind that keeps a process alive", async () => {
  const module = fileURLToPath(new URL("../src/tideline.js", import.meta.url));
  const program = `
    import { createServer } from "node:http";
    import { memoryStorage, Tideline } from ${JSON.stringify(module)};
    let answered = 0;
    const server = createServer((request, response) => {
      const notice = { news: false, last_seq: 0, total_unread: 0, epoch: "e", reconnect: false, superseded: false };
      if (request.url.includes("timeout=1&")) return response.end(JSON.stringify(notice));
      if (request.url.startsWith("/v1/conversations?")) {
        return response.end(JSON.stringify({ conversations: [], next_cursor: null, inbox_seq: 0, epoch: "e" }));
      }
      if (request.method === "POST") return request.socket.destroy(); // so that the client is between two attempts
    }).listen(0, "127.0.0.1", async () => {
      const url = "http://127.0.0.1:" + server.address().port;
      const storage = memoryStorage();
      const session = { user: { id: "u" }, device_id: "d", access_token: "a", refresh_token: "r" };
      storage.set("tideline:" + url + ":session", JSON.stringify(session));
      const tideline = new Tideline({ url, storage, tabs: true, locks: navigatorLocks(), backoff: { base: 60_000, cap: 60_000 } });
      await tideline.start();
      tideline.send("${id}", "hi");
      setTimeout(async () => {
        await tideline.close();
        server.closeAllConnections();
        server.close();
        console.log("closed", process.getActiveResourcesInfo().filter((name) => name === "Timeout").length);
      }, 200);
    });
    function navigatorLocks() {
      return { request: (name, options, held) => Promise.resolve().then(() => held({ name })) };
    }`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"], timeout: 10_000 });
  let out = "";
  child.stdout.on("data", (data) => (out += data));
  const [code] = await once(child, "close");
  assert.deepEqual([code, out.trim()], [0, "closed 0"]);
});
