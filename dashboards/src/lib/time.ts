// Times as people read them. The zone is the browser's or UTC, and always shown.

export const RANGES: readonly (readonly [string, string])[] = [
  ["now-15m", "15 minutes"],
  ["now-1h", "1 hour"],
  ["now-24h", "24 hours"],
  ["now-7d", "7 days"],
  ["now-30d", "30 days"],
  ["", "All time"],
];

const UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
];

/** `3 m`, `2 h 5 m`, `4 d`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  const all = Math.abs(ms);
  if (all < 1_000) return `${Math.round(all)} ms`;
  const at = UNITS.findIndex(([, size]) => all >= size);
  const [unit, size] = UNITS[at] ?? ["s", 1_000];
  const whole = Math.floor(all / size);
  const next = UNITS[at + 1];
  if (next === undefined || whole >= 10 || unit === "d" || unit === "m") return `${whole} ${unit}`;
  const rest = Math.floor((all - whole * size) / next[1]);
  return rest === 0 ? `${whole} ${unit}` : `${whole} ${unit} ${rest} ${next[0]}`;
}

/** `4 m ago`. */
export function ago(time: string | number, now: number): string {
  const ms = now - new Date(time).getTime();
  if (ms < 0) return ms > -60_000 ? "now" : `in ${duration(ms)}`;
  return ms < 5_000 ? "now" : `${duration(ms)} ago`;
}

function pad(value: number, digits = 2): string {
  return String(value).padStart(digits, "0");
}

/** `2026-11-24 08:15:02`, with milliseconds if asked. */
export function absolute(time: string | number, utc: boolean, millis = false): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const shifted = utc ? date : new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  const text = shifted.toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, millis ? 23 : 19)}`;
}

/** Whether a text is an instant as the API writes one. */
export function isInstant(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(text);
}

/** `UTC`, or the browser's zone with its offset: `Berlin, UTC+1`. */
export function zone(utc: boolean): string {
  if (utc) return "UTC";
  const minutes = -new Date().getTimezoneOffset();
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  const offset = minutes === 0 ? "UTC"
    : `UTC${minutes < 0 ? "−" : "+"}${hours}${rest === 0 ? "" : `:${pad(rest)}`}`;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return name === "UTC" || name === undefined ? "UTC" : `${name.split("/").at(-1)?.replaceAll("_", " ")}, ${offset}`;
}

/** A relative time of the API (`now-24h`) or RFC 3339 as milliseconds; null for none. */
export function resolve(text: string, now: number): number | null {
  if (text === "") return null;
  if (text === "now") return now;
  const relative = /^now-(\d+)([smhdw])$/.exec(text);
  if (relative !== null) {
    const unit = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 }[relative[2] as "s"];
    return now - Number(relative[1]) * unit;
  }
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}
