// Service desks: who serves them. A method per operation, for the staff.

import { uuid } from "./ids.js";
import { People } from "./people.js";

const deskPath = (deskId) => `/v1/desks/${uuid(deskId)}`;
const seatPath = (deskId, userId) => `${deskPath(deskId)}/agents/${uuid(userId)}`;

export class Desks extends People {
  #session;

  constructor(core) {
    super(core);
    this.#session = core.session;
  }

  /** Creates a desk, with the user as its admin. A repeat with the same `client_desk_id` returns the same desk. */
  createDesk({ username, display_name, client_desk_id }, { signal } = {}) {
    const body = { username, display_name, client_desk_id };
    return this.#session.call("POST", "/v1/desks", { body, signal });
  }

  /** The desks that the user serves, each with the user's seat. */
  async listDesks({ signal } = {}) {
    return (await this.#session.call("GET", "/v1/me/desks", { signal })).desks;
  }

  async updateDesk(deskId, { display_name, avatar_url }, { signal } = {}) {
    return this.#session.call("PATCH", deskPath(deskId), { body: { display_name, avatar_url }, signal });
  }

  async getDeskSkills(deskId, { signal } = {}) {
    return (await this.#session.call("GET", `${deskPath(deskId)}/skills`, { signal })).skills;
  }

  /** The present skills in their order, with new ones after them. */
  async addDeskSkills(deskId, skills, { signal } = {}) {
    return (await this.#session.call("PUT", `${deskPath(deskId)}/skills`, { body: { skills }, signal })).skills;
  }

  async listSeats(deskId, { signal } = {}) {
    return (await this.#session.call("GET", `${deskPath(deskId)}/agents`, { signal })).agents;
  }

  /** Gives a user a seat, or replaces all that an admin decides of it. */
  async addSeat(deskId, userId, { role, skills, capacity, alias }, { signal } = {}) {
    const body = { role, skills, capacity, alias };
    return this.#session.call("PUT", seatPath(deskId, userId), { body, signal });
  }

  /** Changes the given fields. `available` may only be false: each user becomes available by `updateAvailability`. */
  async updateSeat(deskId, userId, { available, skills, capacity }, { signal } = {}) {
    const body = { available, skills, capacity };
    return this.#session.call("PATCH", seatPath(deskId, userId), { body, signal });
  }

  async removeSeat(deskId, userId, { signal } = {}) {
    return this.#session.call("DELETE", seatPath(deskId, userId), { signal });
  }

  /** Whether the user takes new cases of a desk, and why not. */
  async updateAvailability(deskId, { available, why }, { signal } = {}) {
    return this.#session.call("PUT", `${deskPath(deskId)}/me`, { body: { available, why }, signal });
  }
}
