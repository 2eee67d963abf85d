// Shared by the tests: people, waiting for a condition, and a proxy that loses responses.

import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Tideline } from "../../src/tideline.js";

/** Short pauses, so that tests are fast. */
export const backoff = { base: 20, cap: 100 };
export const password = "correct horse";
let people = 0;

/** A client without a session, closed with the test. */
export function client(t, url, options = {}) {
  const made = new Tideline({ url, backoff, ...options });
  t.after(() => made.close());
  made.on("error", (error) => options.onError?.(error));
  return made;
}

/** A newly registered person. */
export async function person(t, url, options = {}) {
  const made = client(t, url, options);
  await made.register({ username: `p${process.pid}-${Date.now().toString(36)}-${people++}`, password });
  return made;
}

/** Another installation of a person. */
export async function again(t, other, url, options = {}) {
  const made = client(t, url, options);
  await made.login({ username: other.user.username, password });
  return made;
}

export async function eventually(what, look, ms = 10_000) {
  const until = Date.now() + ms;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > until) assert.fail(`not within ${ms} ms: ${what}`);
    await sleep(10);
  }
}

/** All events of a client, by name. */
export function record(tideline, ...names) {
  const events = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) tideline.on(name, (event) => void events[name].push(event));
  return events;
}

export const texts = (entries) => entries.map(({ message }) => message.content.text);

/** A proxy on the way to the server. `onRequest(request, response)` may return "refuse" (nothing arrives), "lose" (the response is lost) or "answer" (by itself). */
export async function proxy(t, target) {
  const state = { onRequest: () => "pass", seen: [], waits: 0, mostWaits: 0, url: "" };
  const server = createServer((from, to) => {
    const verdict = state.onRequest(from, to);
    state.seen.push(`${from.method} ${from.url.split("?")[0]}`);
    if (verdict === "refuse") return void from.socket.destroy();
    if (verdict === "answer") return;
    const waits = from.url.startsWith("/v1/notices") && !/timeout=1(&|$)/.test(from.url);
    if (waits) state.mostWaits = Math.max(state.mostWaits, ++state.waits);
    const options = { method: from.method, headers: from.headers };
    const onward = request(target + from.url, options, (response) => {
      if (verdict === "lose") {
        response.resume();
        response.on("end", () => from.socket.destroy());
        return;
      }
      to.writeHead(response.statusCode, response.headers);
      response.pipe(to);
    });
    onward.on("error", () => from.socket.destroy());
    to.on("close", () => {
      if (waits) state.waits--;
      if (verdict !== "lose") onward.destroy();
    });
    from.pipe(onward);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  state.url = `http://127.0.0.1:${server.address().port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return state;
}
