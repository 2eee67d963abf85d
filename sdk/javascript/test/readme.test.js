// Runs the examples in the READMEs of the repository and of the package, and checks the lists of the latter.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { serve } from "./support/server.js";

const read = (path) => readFile(new URL(path, import.meta.url), "utf8");
const section = (readme, title) => readme.split("\n## ").find((one) => one.startsWith(`${title}\n`));
/** The names in the first column of the table of a section. */
const listed = (text) => [...text.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`(\w+)`/g)]).map(([, name]) => name);

// Each README, the section of its example, and the folder in which it runs: the package resolves by name only in its own folder.
const EXAMPLES = [["../../../README.md", "JavaScript", "../../../"], ["../README.md", "Example", "../"]];

it("shows programs that work", async (t) => {
  const server = await serve(t);
  for (const [readme, title, folder] of EXAMPLES) {
    const text = section(await read(readme), title);
    const [, example] = text.match(/```js\n([^]*?)```/);
    assert.ok(example.trim().split("\n").length <= 12, "ten lines, and a blank one or two");
    const [, expected] = text.match(/\n    (Ben got: .*)\n/);
    const program = example.replace("http://127.0.0.1:8080", server.url);
    assert.ok(program.includes(server.url));
    const options = { cwd: fileURLToPath(new URL(folder, import.meta.url)), timeout: 20_000 };
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], options);
    assert.equal(stdout.trim(), expected, readme);
  }
});

it("lists every event and every code of the SDK", async () => {
  const [readme, types] = [await read("../README.md"), await read("../src/tideline.d.ts")];
  const [, events] = types.match(/^export interface Events \{\n([^]*?)^\}/m);
  assert.deepEqual(listed(section(readme, "Events")), [...events.matchAll(/^  (\w+):/gm)].map(([, name]) => name));
  const [, codes] = types.match(/one of our own, with status 0: ([^]*?)An open set/);
  assert.deepEqual(listed(section(readme, "Errors")).sort(), [...codes.matchAll(/`(\w+)`/g)].map(([, name]) => name).sort());
});
