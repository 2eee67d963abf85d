// Two people with two tabs each write for some time (MINUTES) while their networks fail and recover, responses are lost, tabs
// sleep, and people log out and in at the same page. Afterwards each text has arrived once, in the order of its tab, under the
// name of its author.
//
// After its time it waits for pending messages, up to a bound. SEED repeats a run.

import assert from "node:assert/strict";
import { test } from "node:test";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, password, say, texts, until } from "./support/browser.js";
import { api } from "./support/people.js";

const MINUTES = Number(process.env.MINUTES || 0.2);
const SEED = Number(process.env.SEED || Date.now() % 1e9);
/** The longest recovery. */
const AFTER_MS = 120_000;
const TITLE = "Soak";

/** Random numbers from 0 to 1, reproducible by the seed (mulberry32). */
function numbers(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A seat: a separate browser with two tabs, at which one of two people is logged in. */
class Seat {
  who = null;
  /** The texts that were written here: person, tab, number, and whether the text may be lost, because a logout discards it. */
  written = [];

  constructor(browser, names, random, t) {
    Object.assign(this, { browser, names, random, t });
  }

  async open() {
    this.context = await this.browser.installation();
    // Sometimes the response to a stored message is lost.
    await this.context.route(/\/v1\/conversations\/[^/]+\/messages$/, async (route) => {
      const lost = this.random() < 0.1;
      try {
        if (lost && route.request().method() === "POST") await route.fetch();
        await (lost ? route.abort() : route.fallback());
      } catch {
        // The tab is closed, or its network is down.
      }
    });
    this.tabs = [await this.browser.tab(this.context), await this.browser.tab(this.context)];
    await this.logIn(this.names[0]);
  }

  async logIn(name) {
    const [tab] = this.tabs;
    await tab.waitForSelector("#welcome:not([hidden])");
    await tab.fill("#username", name);
    await tab.fill("#password", password);
    await tab.click("#sign-submit");
    await until(() => tab.isVisible("#app"), true, AFTER_MS);
    // A logged-out tab finds a new session when it next reads the storage.
    await this.tabs[1].reload();
    this.who = name;
    for (const one of this.tabs) await enter(one, TITLE);
  }

  async write() {
    const tab = Math.floor(this.random() * 2);
    const text = `${this.who} ${tab} ${this.written.length}`;
    this.written.push({ text, who: this.who, tab, maybe: false });
    await say(this.tabs[tab], text);
  }

  async offline() {
    await this.context.setOffline(true);
    for (let n = 0; n < 3; n++) await this.write();
    await this.tabs[0].waitForTimeout(this.random() * 3_000);
    await this.context.setOffline(false);
  }

  /** Suspends a tab, as a closed laptop or the browser does. */
  async sleep() {
    const session = await this.context.newCDPSession(this.tabs[Math.floor(this.random() * 2)]);
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await new Promise((resolve) => setTimeout(resolve, this.random() * 3_000));
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await session.detach();
  }

  async reload() {
    await this.tabs[Math.floor(this.random() * 2)].reload();
    for (const tab of this.tabs) await tab.waitForSelector("#chat:not([hidden])");
  }

  /** Logs out, which discards pending messages, and logs the other person in. */
  async change() {
    if (this.random() < 0.5) await this.write();
    const [tab, other] = this.tabs;
    const waiting = new Set();
    for (const one of this.tabs) for (const text of await one.locator(".row[data-state=sending] .text").allTextContents()) waiting.add(text);
    for (const one of this.written) one.maybe ||= waiting.has(one.text);
    await tab.click("#account-button");
    await tab.click("#account-body .danger.quiet >> nth=-1");
    await tab.click("#confirm-yes");
    for (const one of [tab, other]) await until(() => one.isVisible("#welcome"), true, AFTER_MS);
    await this.logIn(this.names[1 - this.names.indexOf(this.who)]);
  }

  async step() {
    const dice = this.random();
    if (dice < 0.7) await this.write();
    else if (dice < 0.82) await this.offline();
    else if (dice < 0.92) await this.sleep();
    else if (dice < 0.97) await this.reload();
    else await this.change();
  }
}

test("a soak", { timeout: MINUTES * 60_000 + 2 * AFTER_MS }, async (t) => {
  t.diagnostic(`SEED=${SEED} MINUTES=${MINUTES}`);
  const random = numbers(SEED);
  const server = await serve(t);
  const browser = await browse(t, server);
  const eve = await api(t, server, "eve", "Eve");
  const people = {};
  for (const name of ["ann", "cato", "ben", "dora"]) people[name] = (await api(t, server, name, name)).user.id;
  const { id } = await eve.createGroup({ title: TITLE, member_ids: Object.values(people) });
  const seats = [new Seat(browser, ["ann", "cato"], random, t), new Seat(browser, ["ben", "dora"], random, t)];
  for (const seat of seats) await seat.open();

  const end = Date.now() + MINUTES * 60_000;
  await Promise.all(seats.map(async (seat) => {
    while (Date.now() < end) await seat.step();
    // At least once, even in a short run.
    await seat.change();
    await seat.write();
  }));

  for (const seat of seats) {
    for (const tab of seat.tabs) {
      await until(() => tab.getAttribute("#status", "data-state"), "online", AFTER_MS);
      await until(() => tab.locator(".row:is([data-state=sending], [data-state=failed])").count(), 0, AFTER_MS);
    }
  }
  const stored = [];
  for await (const message of eve.history(id, { since_seq: 0 })) stored.push(message);
  const names = Object.fromEntries(Object.entries(people).map(([name, id]) => [id, name]));
  const said = stored.map(({ content }) => content.text);
  assert.equal(new Set(said).size, said.length, "a text arrived twice");
  for (const { sender_id, content } of stored) assert.equal(content.text.split(" ")[0], names[sender_id], `${content.text} is said by ${names[sender_id]}`);
  const all = seats.flatMap(({ written }) => written);
  const missing = all.filter(({ text, maybe }) => !maybe && !said.includes(text)).map(({ text }) => text);
  assert.deepEqual(missing, [], "texts that never arrived");
  for (const seat of seats) {
    for (const who of seat.names) {
      for (const tab of [0, 1]) {
        const order = said.filter((text) => text.startsWith(`${who} ${tab} `)).map((text) => Number(text.split(" ")[2]));
        assert.deepEqual(order, [...order].sort((a, b) => a - b), `${who} in tab ${tab}`);
      }
    }
    for (const tab of seat.tabs) {
      // The page opens at the first unread message, and keeps a window of the thread.
      if (await tab.isVisible("#jump")) await tab.click("#jump");
      await until(async () => (await texts(tab)).slice(-20).join("\n"), said.slice(-20).join("\n"), AFTER_MS);
      const shown = await texts(tab);
      assert.equal(shown.join("\n"), said.slice(-shown.length).join("\n"), "what is shown has no hole");
    }
  }
  t.diagnostic(`${said.length} of ${all.length} texts arrived, ${all.length - said.length} were given up by a logout`);
});
