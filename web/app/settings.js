// What this browser remembers for the page, whoever is signed in: the language, the theme. Where site data is blocked,
// it is remembered until the page is closed.

const PREFIX = "tideline.page.";
const memory = new Map();

export function recall(name) {
  try {
    return localStorage.getItem(PREFIX + name) ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

/** `null` forgets it. */
export function remember(name, value) {
  if (value === null) memory.delete(name);
  else memory.set(name, value);
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // Blocked or full: the memory above has it.
  }
}
