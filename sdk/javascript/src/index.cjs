// For require() in versions of Node that cannot require() ES modules (before 20.19 and 22.12). The modules beside this file
// import and export by name only; this reads them as CommonJS, line by line, so that there is no second copy and no build.

"use strict";

const { readFileSync } = require("node:fs");
const path = require("node:path");
const { compileFunction } = require("node:vm");

const loaded = new Map();

function load(name) {
  if (loaded.has(name)) return loaded.get(name);
  const exports = {};
  loaded.set(name, exports);
  const filename = path.join(__dirname, name);
  const names = [];
  const text = readFileSync(filename, "utf8")
    .replace(/^import (\{[^}]*\}) from "\.\/(.*)";$/gm, 'const $1 = load("$2");')
    .replace(/^export (\{[^}]*\}) from "\.\/(.*)";$/gm, (_, list, from) => `Object.assign(exports, (({ ${list.slice(1, -1)} }) => (${list}))(load("${from}")));`)
    .replace(/^export ((?:async )?(?:function\*?|class|const|let) (\w+))/gm, (_, declaration, name) => (names.push(name), declaration));
  const own = names.map((name) => `exports.${name} = ${name};`).join(" ");
  compileFunction(`"use strict"; ${text}\n${own}`, ["load", "exports"], { filename })(load, exports);
  return exports;
}

module.exports = load("tideline.js");
