// Service desks: who serves them, against a server.

import assert from "node:assert/strict";
import { it } from "node:test";
import { uuidv7 } from "../src/tideline.js";
import { person } from "./support/people.js";
import { serve } from "./support/server.js";

it("serves a desk", async (t) => {
  const server = await serve(t, { TIDELINE_DESKS: "open" });
  const [ann, ben] = [await person(t, server.url), await person(t, server.url)];
  const wanted = { username: `desk-${ann.user.id.slice(24)}`, display_name: "Acme support", client_desk_id: uuidv7() };
  const desk = await ann.createDesk(wanted);
  assert.deepEqual(await ann.createDesk(wanted), desk);
  assert.deepEqual([desk.kind, (await ben.findUser(wanted.username)).id], ["desk", desk.id]);
  assert.equal((await ann.updateDesk(desk.id, { display_name: "Acme", avatar_url: null })).display_name, "Acme");
  assert.deepEqual(await ann.addDeskSkills(desk.id, ["returns", "sales"]), ["returns", "sales"]);
  assert.deepEqual(await ann.getDeskSkills(desk.id), ["returns", "sales"]);

  const seat = await ann.addSeat(desk.id, ben.user.id, { role: "agent", skills: ["sales"], capacity: 3, alias: "Agent B" });
  assert.deepEqual([seat.skills, seat.alias, seat.available], [["sales"], "Agent B", false]);
  assert.equal((await ann.updateSeat(desk.id, ben.user.id, { capacity: 5 })).capacity, 5);
  assert.equal((await ben.updateAvailability(desk.id, { available: true })).available, true);
  const ended = await ann.updateSeat(desk.id, ben.user.id, { available: false });
  assert.deepEqual([ended.available, ended.why], [false, "supervisor"]);
  const seats = await ben.listSeats(desk.id);
  assert.deepEqual(new Set(seats.map(({ user }) => user.id)), new Set([ann.user.id, ben.user.id]));
  const [served] = await ben.listDesks();
  assert.deepEqual([served.desk.id, served.seat.role], [desk.id, "agent"]);
  await ann.removeSeat(desk.id, ben.user.id);
  await assert.rejects(ben.listSeats(desk.id), { code: "not_found", status: 404 });
  assert.deepEqual(await ben.listDesks(), []);
});
