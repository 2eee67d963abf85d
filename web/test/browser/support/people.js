// People who use the API without a browser: the other side of a chat.

import { randomUUID } from "node:crypto";
import { Tideline } from "../../../../sdk/javascript/src/tideline.js";
import { password } from "./browser.js";

export async function api(t, server, username, display_name) {
  const client = new Tideline({ url: server.url });
  t.after(() => client.close());
  await client.register({ username, password, display_name });
  return client;
}

/** Sends many texts in a row, in as few requests as it takes. */
export async function sendMany(client, server, conversationId, count, text = (n) => `message ${n}`) {
  const { access_token } = await logIn(client, server);
  for (let from = 0; from < count; from += 100) {
    const some = Array.from({ length: Math.min(100, count - from) }, (_, n) => text(from + n + 1));
    const messages = some.map((one) => ({ client_msg_id: randomUUID(), kind: "text", content: { text: one } }));
    const response = await fetch(`${server.url}/v1/conversations/${conversationId}/messages/batch`, {
      method: "POST",
      headers: { Authorization: `Bearer ${access_token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ messages }),
    });
    if (!response.ok) throw new Error(await response.text());
  }
}

async function logIn(client, server) {
  const body = JSON.stringify({ username: client.user.username, password });
  const response = await fetch(`${server.url}/v1/auth/login`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  return response.json();
}
