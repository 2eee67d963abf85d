// A real server for a test: `tideline dev` in a new directory, on free ports, ended by its pid.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const BIN = process.env.TIDELINE_BIN ?? fileURLToPath(new URL("../../../../target/debug/tideline", import.meta.url));
const PATIENCE_MS = 60_000;

const running = new Set();
// A test that is stopped by a timeout or Ctrl-C does not run its cleanup.
process.on("exit", () => running.forEach((child) => child.kill("SIGTERM")));
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.once(signal, () => process.exit(1));

/** Below the ports that the kernel gives to clients: one of them could take the port while the server restarts. */
async function freePort() {
  for (;;) {
    const port = 11_000 + Math.floor(4_000 * Math.random());
    const probe = createServer().listen(port, "127.0.0.1");
    const isFree = await once(probe, "listening").then(() => true, () => false);
    probe.close();
    if (isFree) return port;
  }
}

/** Starts a server; `t` ends it. It keeps its port over restarts, as a load balancer does. */
export async function serve(t, env = {}) {
  const dir = await mkdtemp(path.join(tmpdir(), "tideline-sdk."));
  await chmod(dir, 0o755); // PostgreSQL runs as another user when we are root.
  const server = new Server(dir, await freePort(), env);
  t.after(async () => {
    await server.stop();
    await rm(dir, { recursive: true, force: true });
  });
  await server.start();
  return server;
}

class Server {
  constructor(dir, port, env) {
    this.dir = dir;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.env = env;
    this.child = null;
  }

  async start() {
    const env = {
      ...process.env,
      RUST_LOG: "warn",
      TIDELINE_BIND: `127.0.0.1:${this.port}`,
      TIDELINE_METRICS_BIND: "127.0.0.1:0",
      TIDELINE_RATE_LIMIT: "off",
      TIDELINE_DRAIN_SECONDS: "2",
      ...this.env,
    };
    for (const name of ["DATABASE_URL", "REDIS_URL"]) delete env[name];
    const child = spawn(BIN, ["dev", "--dir", path.join(this.dir, "dev")], { env, stdio: ["ignore", "pipe", "pipe"] });
    const log = createWriteStream(path.join(this.dir, "log"), { flags: "a" });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    running.add(child);
    child.gone = once(child, "close").then(() => {
      running.delete(child);
      log.end();
    });
    this.child = child;
    const until = Date.now() + PATIENCE_MS;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the server ended: ${await readFile(path.join(this.dir, "log"), "utf8")}`);
      if (await fetch(`${this.url}/health/ready`).then((response) => response.ok, () => false)) return;
      if (Date.now() > until) throw new Error("the server is not ready after a minute");
      await sleep(50);
    }
  }

  /** SIGTERM: it drains and ends. */
  async stop() {
    if (!this.child) return;
    const { child } = this;
    this.child = null;
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    await child.gone;
    clearTimeout(late);
  }

  /** SIGKILL, for the server, its PostgreSQL and its Redis. */
  async kill() {
    const { child } = this;
    this.child = null;
    child.kill("SIGKILL");
    await child.gone;
  }

  async admin(...words) {
    const text = await readFile(path.join(this.dir, "dev", "env"), "utf8");
    const own = Object.fromEntries([...text.matchAll(/^(\w+)='(.*)'$/gm)].map(([, name, value]) => [name, value]));
    const env = { ...process.env, ...own, RUST_LOG: "warn" };
    const { stdout } = await promisify(execFile)(BIN, ["admin", ...words], { env, timeout: PATIENCE_MS });
    return stdout.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  /** Deletes all inbox entries. Times have milliseconds: a moment later, entries of the current one are older too. */
  async expireInbox() {
    await new Promise((resolve) => setTimeout(resolve, 5));
    await this.admin("expire-inbox", "--before", new Date().toISOString());
  }
}
