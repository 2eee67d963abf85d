// Times in the format of the person's language.

/** How far the server's clock is ahead of this device's, in ms. */
let ahead = 0;

/** The time of the server, which decides when a mute ends; the clock of this device may be wrong. */
export const now = () => Date.now() + ahead;

/** Reads the server's time from a response, which has it in whole seconds. */
export function learn(response) {
  const time = Date.parse(response.headers.get("Date"));
  if (time) ahead = time + 500 - Date.now();
  return response;
}

export function datesIn(locale) {
  const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
  const weekday = new Intl.DateTimeFormat(locale, { weekday: "long" });
  // The first three letters of it are the same for all days in Hebrew, Thai and Vietnamese.
  const shortWeekday = new Intl.DateTimeFormat(locale, { weekday: "short" });
  const short = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
  const full = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "short" });
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "full" });
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  const timeOfDay = byMinute(clock);

  /** For the list: the time if it is today, then the weekday, then the date. */
  function shortTime(time) {
    const days = daysAgo(time);
    if (days <= 0) return timeOfDay(time);
    return days < 7 ? shortWeekday.format(new Date(time)) : short.format(new Date(time));
  }

  /** For the line between two days. */
  function dayName(time) {
    const days = daysAgo(time);
    return days < 2 ? capital(relative.format(-days, "day")) : days < 7 ? weekday.format(new Date(time)) : date.format(new Date(time));
  }

  function ago(time) {
    const minutes = Math.round((now() - new Date(time)) / 60_000);
    if (minutes < 60) return relative.format(-Math.max(0, minutes), "minute");
    return minutes < 1_440 ? relative.format(-Math.round(minutes / 60), "hour") : relative.format(-Math.round(minutes / 1_440), "day");
  }

  /** How long it is until a time, by the server's clock. */
  function inTime(time) {
    const seconds = Math.max(0, Math.round((new Date(time) - now()) / 1_000));
    if (seconds < 60) return relative.format(seconds, "second");
    const minutes = Math.round(seconds / 60);
    if (minutes < 60) return relative.format(minutes, "minute");
    return minutes < 1_440 ? relative.format(Math.round(minutes / 60), "hour") : relative.format(Math.round(minutes / 1_440), "day");
  }

  return { timeOfDay, moment: byMinute(full), shortTime, dayName, ago, inTime };
}

/** Cached: many messages are of one minute, and formatting is slow. */
function byMinute(format) {
  let last = [null, ""];
  return (time) => {
    const minute = Math.floor(new Date(time) / 60_000);
    if (last[0] !== minute) last = [minute, format.format(minute * 60_000)];
    return last[1];
  };
}

const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);
const daysAgo = (time) => Math.round((midnight(Date.now()) - midnight(time)) / 86_400_000);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
