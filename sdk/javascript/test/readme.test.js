// The example of the README, run as it stands there.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { it } from "node:test";
import { promisify } from "node:util";
import { serve } from "./support/server.js";

it("shows a program that works", async (t) => {
  const readme = await readFile(new URL("../../../README.md", import.meta.url), "utf8");
  const section = readme.split("\n## ").find((one) => one.startsWith("JavaScript\n"));
  const [, example] = section.match(/```js\n([^]*?)```/);
  assert.ok(example.trim().split("\n").length <= 12, "ten lines, and a blank one or two");
  const [, expected] = section.match(/\n    (Ben got: .*)\n/);

  const server = await serve(t);
  const module = new URL("../src/tideline.js", import.meta.url).href;
  const program = example.replace("http://127.0.0.1:8080", server.url).replace("./sdk/javascript/src/tideline.js", module);
  assert.ok(program.includes(server.url) && program.includes(module));
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 });
  assert.equal(stdout.trim(), expected);
});
