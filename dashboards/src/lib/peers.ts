// How a difference between an entity and its peers reads.
import type { PeerValue } from "../api/types";
import { usual } from "./baseline";

/** A share as per cent; of counts and numbers the number. */
export function amount(kind: string, value: number | null): string {
  if (value === null) return "–";
  if (kind !== "count" && kind !== "distinct" && kind !== "numeric") return usual(Math.min(1, value));
  return value.toLocaleString("en-US", { maximumSignificantDigits: value < 100 ? 2 : 3 });
}

/** Of two bars, in per cent of the longer one; shares in per cent of everything. */
export function widths(value: PeerValue): { own: number; others: number } {
  const others = value.peers ?? value.organisation;
  const most = Math.max(1, value.own, others);
  return { own: Math.max(0, (value.own / most) * 100), others: Math.max(0, (others / most) * 100) };
}

const STATES: Record<string, string> = { learning: "it still learns", warm: "a short history", confident: "a long history" };

/** `41 days or sessions learned, a long history`. */
export function units(learned: number, state: string): string {
  return `${learned.toLocaleString("en-US")} ${learned === 1 ? "day or session" : "days or sessions"} learned, ${STATES[state] ?? state}`;
}
