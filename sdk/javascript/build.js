// Makes dist/, for require() in what cannot require ES modules: Node before 20.19 and 22.12, Jest, older bundlers. npm runs
// this when it packs. The modules of src/ import and export by name only, one line each, so three rules translate them.

import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const at = (path) => new URL(path, import.meta.url);

function commonJs(text) {
  const names = [];
  const body = text
    .replace(/^import (\{.*\}) from "(.*)\.js";$/gm, 'const $1 = require("$2.cjs");')
    .replace(/^export \{ (.*) \} from "(.*)\.js";$/gm, (_, list, from) => list.replace(/(\w+),?/g, `exports.$1 = require("${from}.cjs").$1;`))
    .replace(/^export ((?:async )?(?:function\*?|class|const) (\w+))/gm, (_, declaration, name) => (names.push(name), declaration));
  return `"use strict";\n${body}\n${names.map((name) => `exports.${name} = ${name};\n`).join("")}`;
}

rmSync(at("dist"), { recursive: true, force: true });
mkdirSync(at("dist"));
for (const file of readdirSync(at("src")).filter((name) => name.endsWith(".js"))) {
  writeFileSync(at(`dist/${file.replace(".js", ".cjs")}`), commonJs(readFileSync(at(`src/${file}`), "utf8")));
}
// The types of both are the same. Their name says to TypeScript which kind of module they describe.
copyFileSync(at("src/tideline.d.ts"), at("dist/tideline.d.cts"));
for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(at(`../../${licence}`), at(licence));
