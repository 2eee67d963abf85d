// A real browser for a test. Every test fails on policy violations and console errors.

import assert from "node:assert/strict";
import { accessSync, constants } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
const PATIENCE_MS = 30_000;
export const password = "correct horse";

/** The installed browser. */
function program() {
  for (const dir of (process.env.PATH ?? "").split(path.delimiter)) {
    for (const name of NAMES) {
      const file = path.join(dir, name);
      try {
        accessSync(file, constants.X_OK);
        return file;
      } catch {
        // The next one.
      }
    }
  }
  throw new Error("no Chromium in the PATH: run .ci/install test");
}

/** Starts a browser that ends with the test. */
export async function browse(t, server) {
  // The sandbox does not work as root, as in containers.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath: program(), args });
  const watched = [];
  t.after(async () => {
    await browser.close();
    assert.deepEqual(watched, [], "the pages complained");
  });
  return new Browser(browser, server, watched);
}

class Browser {
  constructor(browser, server, watched) {
    this.browser = browser;
    this.server = server;
    this.watched = watched;
  }

  /** A separate browser, whose tabs share their storage. */
  async installation(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
    context.on("page", (page) => this.#watch(page));
    return context;
  }

  #watch(page) {
    page.on("pageerror", (error) => this.watched.push(`${error.stack ?? error}`));
    page.on("console", (message) => {
      // The browser logs this line for every failed request. Tests check themselves which requests fail.
      if (message.text().startsWith("Failed to load resource")) return;
      if (["error", "warning"].includes(message.type())) this.watched.push(message.text());
    });
  }

  /** Another tab of an installation. */
  async tab(context, hash = "") {
    const page = await context.newPage();
    await page.goto(`${this.server.url}/${hash}`);
    return page;
  }

  /** A new person, in a separate browser. */
  async person(username, options) {
    const page = await this.tab(await this.installation(options));
    await page.click("#swap");
    await page.fill("#username", username);
    await page.fill("#display-name", username[0].toUpperCase() + username.slice(1));
    await page.fill("#password", password);
    await page.click("#sign-submit");
    await page.waitForSelector("#status[data-state=online]");
    return page;
  }

  /** A person with an existing account. */
  async returning(username, options) {
    const page = await this.tab(await this.installation(options));
    await page.fill("#username", username);
    await page.fill("#password", password);
    await page.click("#sign-submit");
    await page.waitForSelector("#status[data-state=online]");
    return page;
  }
}

/** Opens the conversation of this title in the list. */
export async function enter(page, title) {
  await page.locator("#conversations a", { has: page.locator(".title", { hasText: title }) }).click();
  await page.waitForSelector("#chat:not([hidden])");
}

export async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** The texts of the messages, from top to bottom. */
export const texts = (page) => page.locator("#rows .row :is(.text, .emoji)").allTextContents();

/** Waits until a query of the page returns the expected value, and otherwise shows the difference. */
export async function until(look, expected, ms = PATIENCE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    try {
      assert.deepEqual(found, expected);
      return found;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const badge = (page, title) =>
  page.locator("#conversations li", { has: page.locator(".title", { hasText: title }) }).evaluate((row) => {
    const mark = row.querySelector(".badge");
    return mark.hidden ? 0 : Number(mark.firstChild.textContent);
  });

/** Sets the visibility of the page. In a headless browser every page is always visible. */
export const look = (page, focused) =>
  page.evaluate((focused) => {
    document.hasFocus = () => focused;
    if (focused) window.dispatchEvent(new Event("focus"));
  }, focused);

/** A fake desktop that records notifications, and a fake loudspeaker that counts sounds. */
export async function desktop(context) {
  await context.addInitScript(() => {
    window.shown = [];
    window.asked = 0;
    window.rung = 0;
    window.Notification = class {
      static permission = "default";
      static async requestPermission() {
        window.asked++;
        return (this.permission = "granted");
      }
      constructor(title, options) {
        Object.assign(this, { title, ...options });
        window.shown = [...window.shown.filter(({ tag }) => tag !== this.tag), this];
      }
      close() {
        window.shown = window.shown.filter((one) => one !== this);
      }
    };
    window.OscillatorNode = class extends OscillatorNode {
      start(...when) {
        window.rung++;
        super.start(...when);
      }
    };
  });
}
