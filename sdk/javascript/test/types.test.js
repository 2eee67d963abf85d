// The types match the exports exactly.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import typescript from "typescript";
import * as tideline from "../src/tideline.js";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The exports of a .d.ts file that exist at runtime, classes with the names of their members. */
function declared() {
  const program = typescript.createProgram([at("../src/tideline.d.ts")], { target: typescript.ScriptTarget.ES2022 });
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(at("../src/tideline.d.ts")));
  const values = checker.getExportsOfModule(module).filter(({ flags }) => flags & typescript.SymbolFlags.Value);
  const members = ({ members }) => [...members.keys()].filter((name) => !name.startsWith("__")).sort();
  return Object.fromEntries(values.map((one) => [one.name, one.flags & typescript.SymbolFlags.Class ? members(one) : null]));
}

it("has the same names in the types as in the module", () => {
  const types = declared();
  assert.deepEqual(Object.keys(types).sort(), Object.keys(tideline).sort());
  const { prototype } = tideline.Tideline;
  const chain = [];
  for (let one = prototype; one !== Object.prototype; one = Object.getPrototypeOf(one)) chain.push(one);
  const own = chain.flatMap(Object.getOwnPropertyNames).filter((name) => name !== "constructor");
  assert.deepEqual(types.Tideline, own.sort());
  const inherited = ["cause", "message", "name", "stack"];
  const error = new tideline.TidelineError({ code: "network", cause: 1 });
  const names = [...Object.getOwnPropertyNames(error), "transient"].filter((name) => !inherited.includes(name));
  assert.deepEqual(types.TidelineError, names.sort());
});

it("has a method for every operation of the API", async () => {
  const document = JSON.parse(await readFile(at("../../../openapi/openapi.json"), "utf8"));
  // Operations with another name, used inside the loops, or not for clients.
  const otherwise = {
    register_user: "register", login_user: "login", logout_session: "logout", refresh_session: "restore", wait_notices: "start",
    fetch_inbox: "start", create_conversation: "createDirect", send_message: "send", send_messages: "send",
    list_requests: "listContactRequests", create_request: "requestContact", accept_request: "acceptContact", decline_request: "declineContact",
    remove_request: "cancelContact", update_contact: "putContact", update_contacts: "putContacts", get_mutual_count: "countMutualContacts",
    get_presence: "presence", create_presence_cursor: "presenceCursor",
    update_status: "setStatus", delete_status: "clearStatus",
    get_linked_media: "mediaLink", edit_message: "edit", recall_message: "recall", list_versions: "versions", get_live: null, get_ready: null,
    deactivate_me: "deactivate", delete_me: "deleteAccount",
  };
  const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path)).map(({ operationId }) => operationId).filter(Boolean);
  assert.ok(operations.length > 30);
  for (const name of operations) {
    const method = name in otherwise ? otherwise[name] : camel(name);
    if (method !== null) assert.equal(typeof tideline.Tideline.prototype[method], "function", `${name} has no ${method}`);
  }
});

it("compiles a program that uses all of it, strictly", () => {
  const tsc = at("node_modules/typescript/bin/tsc");
  try {
    execFileSync(process.execPath, [tsc, "-p", at("types")], { encoding: "utf8" });
  } catch ({ stdout }) {
    assert.fail(stdout);
  }
});
