// Who types in the open conversation, and people who are suggested by their usernames.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { serve } from "../../../sdk/javascript/test/support/server.js";
import { browse, enter, say, until } from "./support/browser.js";
import { api } from "./support/people.js";

const SCREENS = new URL("../../../target/screens/", import.meta.url).pathname;

test("typing, and suggestions", { timeout: 300_000 }, async (t) => {
  const server = await serve(t);
  const browser = await browse(t, server);
  const ann = await browser.person("ann", { reducedMotion: "reduce" });
  const [ben, cem, dora] = await Promise.all([api(t, server, "ben", "Ben"), api(t, server, "cem", "Cem"), api(t, server, "dora-marie", "Dora")]);
  const me = await ben.findUser("ann");
  const crew = await ben.createGroup({ title: "Crew", member_ids: [me.id, cem.user.id, dora.user.id] });
  const line = () => ann.textContent("#typing");
  /** Others see typing from the next request on, so it is repeated as the SDK does, but sooner. */
  const type = async (client, expected) => {
    for (let n = 0; n < 12 && (await line()) !== expected; n++) {
      await client.updateTyping(crew.id, true);
      await sleep(500);
    }
    assert.equal(await line(), expected);
  };

  await t.test("the others that type are named, under the own names for them", async () => {
    await enter(ann, "Crew");
    await type(ben, "Ben is typing…");
    await ann.screenshot({ path: `${SCREENS}typing.png` });
    await type(cem, "Ben and Cem are typing…");
    await type(dora, "3 people are typing…");
    await ben.send(crew.id, "done");
    await until(async () => /Ben|3/.test(await line()), false);
    await until(line, "", 12_000);
  });

  await t.test("typing is sent, at most every five seconds, and the end too", async () => {
    const sent = [];
    await ann.route(/\/typing$/, (route) => {
      sent.push(route.request().postDataJSON().typing);
      return route.continue();
    });
    await ann.locator("#text").pressSequentially("hello", { delay: 30 });
    await until(() => sent, [true]);
    await ann.fill("#text", "");
    await until(() => sent, [true, false]);
    await sleep(2_100);
    await ann.locator("#text").pressSequentially("and", { delay: 30 });
    await until(() => sent, [true, false, true]);
    await say(ann, "and now");
    await ann.locator("#text").blur();
    await sleep(300);
    assert.deepEqual(sent, [true, false, true], "a message ends it");
  });

  await t.test("people are found by the beginning of their usernames", async () => {
    await ann.click("#new-button");
    const options = () => ann.locator("#new-people-suggestions [role=option] bdi").allTextContents();
    await ann.fill("#new-people", "dor");
    await until(options, ["Dora", "@dora-marie"]);
    await ann.screenshot({ path: `${SCREENS}suggestions.png` });
    await ann.press("#new-people", "ArrowDown");
    assert.equal(await ann.getAttribute("#new-people", "aria-activedescendant"), "new-people-suggestion-0");
    await ann.press("#new-people", "Enter");
    assert.equal(await ann.inputValue("#new-people"), "dora-marie");
    assert.equal(await ann.locator("dialog[open]").count(), 1);
    await ann.fill("#new-people", "xyz");
    await until(options, []);
    await ann.fill("#new-people", "dor");
    await until(options, ["Dora", "@dora-marie"]);
    await ann.press("#new-people", "Escape");
    await until(options, []);
    assert.equal(await ann.locator("dialog[open]").count(), 1, "Escape closes the list first");
    await ann.keyboard.press("Escape");
    await dora.updatePrivacy({ discoverable: false });
    await ann.click("#contacts-button");
    await ann.fill("#contacts-name", "dora-");
    await sleep(800);
    assert.equal(await ann.locator("#contacts-name-suggestions [role=option]").count(), 0);
    await ann.fill("#contacts-name", "cem, be");
    await sleep(500);
    await ann.fill("#contacts-name", "cem, ben");
    await ann.press("#contacts-name", "Enter");
    await until(() => ann.locator("#contacts bdi.name").allTextContents(), ["Ben", "Cem"]);
    // Contacts are found by the own name, without the server.
    await ben.createDirect(me.id);
    await ann.locator("#contacts .person-row").first().click();
    await ann.fill("#person-alias", "Benny Boat");
    await ann.press("#person-alias", "Enter");
    await ann.waitForSelector("#toasts >> text=Saved.");
    await ann.keyboard.press("Escape");
    await ann.keyboard.press("Escape");
    await until(() => ann.locator("dialog[open]").count(), 0);
    await ann.click("#new-button");
    await ann.fill("#new-people", "bo");
    await until(options, ["Benny Boat", "@ben"]);
    await ann.click("#new-people-suggestions [role=option]");
    assert.equal(await ann.inputValue("#new-people"), "ben");
  });
});
