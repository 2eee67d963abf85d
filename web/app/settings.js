// Settings that this browser stores for the page. Where site data is blocked, they last until the page is closed.

const PREFIX = "tideline.page.";
const memory = new Map();

export function recall(name) {
  try {
    return memory.get(name) ?? localStorage.getItem(PREFIX + name);
  } catch {
    return memory.get(name) ?? null;
  }
}

/** `null` deletes it. */
export function remember(name, value) {
  memory.delete(name);
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // Blocked or full.
    if (value !== null) memory.set(name, value);
  }
}

/** The names that begin with this. */
export function remembered(prefix) {
  const names = [...memory.keys()];
  try {
    names.push(...Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length)));
  } catch {
    // Blocked: only the copy in memory exists.
  }
  return names.filter((name) => name.startsWith(prefix));
}

/** Whether the browser can store a value of the length of a message. */
export function stores() {
  remember("probe", "-".repeat(1_000));
  const stored = !memory.delete("probe");
  remember("probe", null);
  return stored;
}
