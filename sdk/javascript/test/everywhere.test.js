// The packed and installed package: loaded by bundlers for browsers, by every engine and by Jest, with import and with require,
// and its types.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import vm from "node:vm";
import nodeResolve from "@rollup/plugin-node-resolve";
import * as esbuild from "esbuild";
import { rollup } from "rollup";
import * as vite from "vite";
import typescript from "typescript";
import webpack from "webpack";
import * as sdk from "../src/tideline.js";
import { EXPECTED, PROGRAM } from "./support/everywhere.js";

const own = fileURLToPath(new URL("..", import.meta.url));
const NAME = "@tideline/sdk";
/** The sources of the programs: how they load the package, and where they print the line. */
const IMPORT = `import * as sdk from "${NAME}";\n${PROGRAM}`;
const REQUIRE = `const sdk = require("${NAME}");\n${PROGRAM}`;
const PRINT = "run(sdk, (line) => console.log(line));";
const HAND_OVER = "globalThis.outcome = run(sdk, (line) => line);";

const run = promisify(execFile);

let dir, packed;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), "tideline-everywhere."));
  const { stdout } = await run("npm", ["pack", "--silent", "--json", "--pack-destination", dir], { cwd: own });
  [packed] = JSON.parse(stdout);
  await writeFile(path.join(dir, "package.json"), "{}");
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${packed.filename}`], { cwd: dir });
  await writeFile(path.join(dir, "import.mjs"), `${IMPORT}${PRINT}`);
  await writeFile(path.join(dir, "require.cjs"), `${REQUIRE}${PRINT}`);
  await writeFile(path.join(dir, "bundle-import.mjs"), `${IMPORT}${HAND_OVER}`);
  await writeFile(path.join(dir, "bundle-require.cjs"), `${REQUIRE}${HAND_OVER}`);
  await writeFile(path.join(dir, "thread.mjs"), `import { parentPort } from "node:worker_threads";\n${IMPORT}run(sdk, (line) => parentPort.postMessage(line));`);
  await writeFile(path.join(dir, "threads.mjs"), 'import { Worker } from "node:worker_threads";\nnew Worker(new URL("thread.mjs", import.meta.url)).on("message", (line) => console.log(line));');
  await writeFile(path.join(dir, "web-worker.mjs"), `${IMPORT}run(sdk, (line) => postMessage(line));`);
  const page = 'const worker = new Worker(new URL("web-worker.mjs", import.meta.url).href, { type: "module" });\nworker.onmessage = ({ data }) => (console.log(data), worker.terminate());';
  await writeFile(path.join(dir, "web-workers.mjs"), page);
});
after(() => rm(dir, { recursive: true, force: true }));

describe("a bundle for browsers", () => {
  /** Runs it as a classic script without Node's globals, and without `window`: as a worker does. */
  async function runs(code) {
    assert.doesNotMatch(code, /["']node:/);
    const globals = { URL, AbortController, setTimeout, clearTimeout, structuredClone, console };
    const context = vm.createContext({ ...globals });
    new vm.Script(code).runInContext(context);
    assert.equal(await context.outcome, EXPECTED);
  }

  const withWebpack = (entry) =>
    new Promise((resolve, reject) => {
      const output = { path: path.join(dir, "webpack"), filename: "out.js" };
      webpack({ mode: "production", target: "web", context: dir, entry, output }, (error, stats) => {
        if (error || stats.hasErrors()) return reject(error ?? new Error(stats.toString()));
        resolve(readFile(path.join(output.path, output.filename), "utf8"));
      });
    });
  const withEsbuild = async (entry, more) => {
    const options = { entryPoints: [path.join(dir, entry)], bundle: true, write: false, platform: "browser", format: "iife", absWorkingDir: dir, ...more };
    return (await esbuild.build(options)).outputFiles[0].text;
  };

  for (const entry of ["./bundle-import.mjs", "./bundle-require.cjs"]) {
    it(`by esbuild of ${entry}`, async () => runs(await withEsbuild(entry)));
    it(`by esbuild of ${entry}, without the condition "module"`, async () => runs(await withEsbuild(entry, { conditions: [] })));
    it(`by webpack of ${entry}`, async () => runs(await withWebpack(entry)));
  }

  it("by Rollup", async () => {
    const bundle = await rollup({ input: path.join(dir, "bundle-import.mjs"), plugins: [nodeResolve({ browser: true })] });
    const { output } = await bundle.generate({ format: "iife" });
    await bundle.close();
    await runs(output[0].code);
  });

  it("by Vite", async () => {
    const lib = { entry: path.join(dir, "bundle-import.mjs"), formats: ["iife"], name: "bundle" };
    const [{ output }] = [await vite.build({ root: dir, configFile: false, logLevel: "silent", build: { write: false, lib } })].flat();
    await runs(output[0].code);
  });
});

describe("the package loads", () => {
  const binary = (name, file) => path.join(own, "test", "node_modules", name, "bin", file);
  const engines = {
    "Node 18": { file: binary("node-18", "node"), programs: ["import.mjs", "require.cjs", "threads.mjs"] },
    "Node 20": { file: binary("node-20", "node"), programs: ["import.mjs", "require.cjs", "threads.mjs"] },
    "Node 22": { file: binary("node-22", "node"), programs: ["import.mjs", "require.cjs", "threads.mjs"] },
    "this Node": { file: process.execPath, programs: ["import.mjs", "require.cjs", "threads.mjs"] },
    Bun: { file: binary("@oven/bun-linux-x64", "bun"), programs: ["import.mjs", "require.cjs", "web-workers.mjs"] },
    Deno: { file: path.join(own, "test", "node_modules", "@deno", "linux-x64-glibc", "deno"), args: ["run", "-A", "--no-remote", "--node-modules-dir=manual"], programs: ["import.mjs", "require.cjs", "web-workers.mjs"] },
  };
  // npm installs these binaries only for the current platform.
  const elsewhere = process.platform !== "linux" || process.arch !== "x64";

  for (const [name, { file, args = [], programs }] of Object.entries(engines)) {
    it(`in ${name}`, { skip: elsewhere && !existsSync(file) && "no binary for this platform" }, async () => {
      for (const program of programs) {
        const env = { ...process.env, DENO_DIR: path.join(dir, "deno"), DENO_NO_UPDATE_CHECK: "1" };
        const { stdout, stderr } = await run(file, [...args, path.join(dir, program)], { cwd: dir, env, timeout: 60_000 });
        assert.equal(stdout.trim(), EXPECTED, `${program}: ${stderr}`);
      }
    });
  }
});

describe("the package in Jest", () => {
  const module = (name) => path.join(own, "test", "node_modules", name);
  for (const environment of ["jsdom", "node"]) {
    it(`loads in the environment ${environment}`, async () => {
      const program = `${REQUIRE}test("it", async () => {
        await run(sdk, (line) => expect(line).toBe(${JSON.stringify(EXPECTED)}));
        expect(new sdk.TidelineError({ code: "network" })).toBeInstanceOf(Error);
      });`;
      await writeFile(path.join(dir, `${environment}.spec.cjs`), program);
      const config = { rootDir: dir, testMatch: [`**/${environment}.spec.cjs`], transform: {}, cache: false, testEnvironment: module(`jest-environment-${environment}`) };
      await run(process.execPath, [module("jest/bin/jest.js"), "--ci", "--config", JSON.stringify(config)], { cwd: dir });
    });
  }
});

describe("the types of the package", () => {
  const { ModuleKind, ModuleResolutionKind } = typescript;
  const program = `
    import { Tideline, TidelineError, uuidv7 } from "${NAME}";
    const tideline = new Tideline({ url: "https://chat.example" });
    tideline.on("message", ({ message }) => { if (message.kind === "text") message.content.text.length; });
    export const error: TidelineError | null = null;
    export const id: string = uuidv7();
    // @ts-expect-error it has types
    tideline.send(1);
  `;
  const base = { strict: true, noEmit: true, target: typescript.ScriptTarget.ES2022, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"], types: [] };
  const files = new Map();

  /** The compiler's errors of a program and the package. Its own libraries are not checked, because that takes most of the time. */
  function errors(file, options) {
    const host = typescript.createCompilerHost({ ...base, ...options });
    const { getSourceFile } = host;
    // Parsed once for all options, except if these decide the module kind of a file.
    host.getSourceFile = (name, ...rest) => {
      if (!name.includes("/typescript/lib/")) return getSourceFile(name, ...rest);
      if (!files.has(name)) files.set(name, getSourceFile(name, ...rest));
      return files.get(name);
    };
    const compiled = typescript.createProgram([path.join(dir, file)], { ...base, ...options }, host);
    const checked = compiled.getSourceFiles().filter(({ fileName }) => !fileName.includes("/typescript/lib/"));
    assert.equal(checked.length, 2, "the program and the types");
    const found = [...compiled.getOptionsDiagnostics(), ...checked.flatMap((one) => compiled.getSemanticDiagnostics(one))];
    return found.map(({ messageText }) => typescript.flattenDiagnosticMessageText(messageText, "\n"));
  }

  for (const [name, module] of [["node16", ModuleKind.Node16], ["node18", ModuleKind.Node18], ["nodenext", ModuleKind.NodeNext]]) {
    for (const file of ["types.cts", "types.mts"]) {
      it(`fit ${file} with module ${name}`, async () => {
        await writeFile(path.join(dir, file), program);
        assert.deepEqual(errors(file, { module }), []);
      });
    }
  }
  for (const [name, module, moduleResolution] of [["node10", ModuleKind.CommonJS, ModuleResolutionKind.Node10], ["bundler", ModuleKind.ESNext, ModuleResolutionKind.Bundler]]) {
    it(`fit with moduleResolution ${name}`, async () => {
      await writeFile(path.join(dir, "types.ts"), program);
      assert.deepEqual(errors("types.ts", { module, moduleResolution }), []);
    });
  }
});

it("the package has the sources, their translation, its papers, and nothing else", async () => {
  const papers = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "package.json"];
  const sources = await readdir(path.join(own, "src"));
  const translated = sources.map((name) => `dist/${name.replace(".d.ts", ".d.cts").replace(/js$/, "cjs")}`);
  const expected = [...papers, ...sources.map((name) => `src/${name}`), ...translated];
  assert.deepEqual(packed.files.map((file) => file.path).sort(), expected.sort());
});

it("the CommonJS entry has the exports of the module, line by line", async () => {
  const required = createRequire(path.join(dir, "package.json"))(path.join(dir, "node_modules", NAME, "dist", "tideline.cjs"));
  assert.deepEqual(Object.keys(required).sort(), Object.keys(sdk).sort());
  const names = ({ prototype }) => [prototype, Object.getPrototypeOf(prototype)].flatMap(Object.getOwnPropertyNames).sort();
  assert.deepEqual(names(required.Tideline), names(sdk.Tideline));
  // The syntax that build.js translates: named imports and exports at the start of a line, and nothing engine-specific.
  for (const file of (await readdir(path.join(own, "src"))).filter((name) => name.endsWith(".js"))) {
    const text = await readFile(path.join(own, "src", file), "utf8");
    for (const line of text.split("\n").filter((line) => /^(import|export)\b/.test(line))) {
      assert.match(line, /^(import|export) \{ [\w, ]+ \} from "\.\/\w+\.js";$|^export (async )?(function|class|const) \w+/, `${file}: ${line}`);
    }
    assert.doesNotMatch(text, /\bimport\(|["']node:|\brequire\(/, file);
  }
});
