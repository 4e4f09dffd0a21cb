// What was said about an entity to whom, and whether it arrived: the rows of the history of signals put
// together by the change they come from.
import type { Entity, SignalEntry } from "../api/types";
import { text } from "./format";

export interface Said {
  time: string;
  /** `level`, `raised`, `cleared`, `expired`, or what became of a SET. */
  action: string;
  text: string;
  by: string;
  /** SETs that tell of it. */
  sets: Delivery[];
}

export interface Delivery {
  jti: string;
  stream: string;
  type: string;
  /** `delivered`, `dead_letter`, `shadow`, `superseded`, `dropped`. */
  state: string;
  time: string;
  detail: string;
}

/** The rows about an entity, newest first, each change of level with the SETs that tell of it. */
export function said(rows: readonly SignalEntry[], entity: string): Said[] {
  const own = rows.filter((row) => row.about === entity);
  const causes = new Set(own.flatMap((row) => row.txn ?? []));
  const sets = rows.filter((row) => row.jti !== undefined && row.txn !== undefined && causes.has(row.txn));
  return own.filter((row) => row.jti === undefined).map((row) => ({
    time: row.time, action: row.action, text: row.detail ?? "", by: row.by ?? "",
    sets: sets.filter((set) => set.txn === row.txn).map((set) => ({
      jti: set.jti ?? "", stream: set.stream ?? "", type: set.event_type ?? "", state: set.action, time: set.time, detail: set.detail ?? "",
    })),
  }));
}

/** `high until 1764000900000: stolen laptop` with its instant as people read it. */
export function readable(text: string, instant: (ms: number) => string): string {
  return text.replace(/\b\d{13}\b/, (ms) => instant(Number(ms)));
}

/** Whom a subject identifier (RFC 9493) names, as people know it. */
export function subjectText(subject: Record<string, unknown>): string {
  for (const name of ["email", "sub", "uri", "id", "phone_number", "url"]) {
    if (typeof subject[name] === "string") return subject[name];
  }
  if (Array.isArray(subject["ip-addresses"])) return subject["ip-addresses"].map(text).join(", ");
  // A complex subject names a user, device or session in a member of its own.
  for (const name of ["user", "device", "session"]) {
    const inner = subject[name];
    if (typeof inner === "object" && inner !== null) return subjectText(inner as Record<string, unknown>);
  }
  return JSON.stringify(subject);
}

/** The entity it names, if that is plain: a mail address names a user. */
export function subjectEntity(subject: Record<string, unknown>): Entity | null {
  const inner = (name: string): Record<string, unknown> | null => {
    const value = subject[name];
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  };
  const user = subject.format === "email" ? subject : inner("user");
  if (user !== null) return { kind: "user", id: subjectText(user).toLowerCase() };
  if (subject.format === "ip-addresses") return { kind: "ip", id: subjectText(subject) };
  for (const kind of ["device", "session"] as const) {
    const named = inner(kind);
    if (named !== null) return { kind, id: subjectText(named).toLowerCase() };
  }
  return null;
}

/** What a row of history is about: an entity as `kind:id`, or a subject as JSON. */
export function aboutEntity(about: string): Entity | null {
  const found = /^(user|device|ip|session|workload|application):(.+)$/s.exec(about);
  if (found !== null) return { kind: found[1] ?? "", id: found[2] ?? "" };
  try {
    const subject: unknown = JSON.parse(about);
    return typeof subject === "object" && subject !== null ? subjectEntity(subject as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** What an event says, in a line: `LOW to HIGH: two refused pushes`. */
export function eventText(event: Record<string, unknown>): string {
  const from = event.previous_level ?? event.previous_status;
  const to = event.current_level ?? event.current_status ?? event.status;
  const change = to === undefined ? "" : from === undefined ? text(to) : `${text(from)} to ${text(to)}`;
  const admin = event.reason_admin;
  const reason = typeof admin === "object" && admin !== null ? Object.values(admin).map(text)[0] ?? "" : typeof admin === "string" ? admin : "";
  const own = event.x_sluice;
  const test = typeof own === "object" && own !== null && "test" in own ? "a test" : "";
  return [change, reason, test].filter((part) => part !== "").join(": ") || "no more than that";
}

/** What happened to a level, a stream or a SET. */
export const ACTIONS: Record<string, string> = {
  level: "level", raised: "level set by a person", cleared: "override taken back", expired: "override ended",
  suspected: "suspected", quarantined: "quarantined", released: "released from quarantine", quarantine_expired: "quarantine ended", delivered: "delivered", dead_letter: "refused by the receiver",
  approved: "approved", rejected: "refused by a person", superseded: "replaced by a newer level", dropped: "dropped", shadow: "only recorded", replayed: "sent again",
  paused: "paused", enabled: "enabled", disabled: "disabled", storm: "storm began", storm_released: "storm ended, its rises sent", storm_dropped: "storm ended, its rises dropped",
};
