// What was said about an entity to whom, and whether it arrived: the rows of the history of signals put
// together by the change they come from.
import type { SignalEntry } from "../api/types";

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
