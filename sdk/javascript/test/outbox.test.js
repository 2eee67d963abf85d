// The effect of each response on the outbox, as in the table of docs/INTEGRATING.md.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { memoryStorage, Tideline } from "../src/tideline.js";

const url = "http://tideline.invalid";
const conversation = "0199a3c0-0000-7000-8000-000000000001";
const user = { id: "0199a3c0-0000-7000-8000-000000000002", username: "ann" };

const document = readFileSync(new URL("../../../docs/INTEGRATING.md", import.meta.url), "utf8");
const [, table] = document.match(/^\| response to a send \| status \| the outbox \|\n\|[-|]+\n([^]*?)\n\n/m);
const rows = table.split("\n").map((row) => row.split("|").slice(1, 4).map((cell) => cell.trim()));

/** A logged-in client whose first send gets this response, and whose next send is stored. */
function scripted(response) {
  const storage = memoryStorage();
  const session = { user, device_id: conversation, access_token: "a", refresh_token: "r" };
  storage.set(`tideline:${url}:session`, JSON.stringify(session));
  const sends = [];
  const fetch = async (address, { body }) => {
    if (!address.endsWith("/messages")) return problem("unauthenticated", 401);
    sends.push(body);
    return sends.length === 1 ? response : Response.json({ id: "m", seq: 1 }, { status: 201 });
  };
  return { sends, tideline: new Tideline({ url, fetch, storage, backoff: { base: 1, cap: 2 } }) };
}

const problem = (code, status) => new Response(JSON.stringify({ code, status, detail: code }), { status });

describe("the outbox", () => {
  assert.ok(rows.length > 20, `only ${rows.length} rows`);
  for (const [name, status, outbox] of rows) {
    const response = () => (status === "any" ? new Response("<h1>Bad gateway</h1>", { status: 502 }) : problem(name.replaceAll("`", ""), Number(status)));
    // Codes that occur only for a wait, a fetch or a login.
    if (outbox === "start over" || ["`invalid_credentials`", "`user_deactivated`"].includes(name)) continue;
    it(`does as the table says after ${name}: ${outbox}`, async () => {
      const { sends, tideline } = scripted(response());
      const sent = tideline.send(conversation, "hi");
      if (outbox === "repeat") {
        assert.equal((await sent).seq, 1);
        assert.equal(sends[1], sends[0]);
      } else {
        await assert.rejects(sent);
        assert.equal(sends.length, 1);
        assert.deepEqual(tideline.outbox.map(({ state }) => state), [outbox === "give up" ? "failed" : "sending"]);
      }
      tideline.close();
    });
  }

  it("refuses invalid messages immediately, and stores nothing", async () => {
    const { sends, tideline } = scripted(assert.fail);
    const circular = { kind: "custom", content: {} };
    circular.content.self = circular;
    const texts = [5, null, undefined, true, [], {}, () => "hi", { kind: "text" }, { kind: 1, content: {} }, { content: { text: "hi" } }, { kind: "text", content: "hi" }, circular];
    const refused = (message, options) => assert.rejects(tideline.send(conversation, message, options), { code: "validation", status: 0 });
    for (const message of texts) await refused(message); // before the session is restored
    await tideline.restore();
    for (const message of texts) await refused(message);
    await refused("hi", { mentions: 5 });
    assert.deepEqual([tideline.outbox, sends], [[], []]);
    tideline.close();
  });
});
