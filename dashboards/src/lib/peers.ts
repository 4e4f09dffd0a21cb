// How a difference between an entity and its peers reads.
import type { BaselineFeature, PeerValue } from "../api/types";
import { usual } from "./baseline";

/** A share as per cent; of counts and numbers the number. */
export function amount(kind: string, value: number | null): string {
  if (value === null) return "–";
  if (kind !== "count" && kind !== "distinct" && kind !== "numeric") return usual(Math.min(1, value));
  return value.toLocaleString("en-US", { maximumSignificantDigits: value < 100 ? 2 : 3 });
}

/** Of two bars, in per cent of the longest of their feature. */
export function widths(value: PeerValue, all: readonly PeerValue[]): { own: number; others: number } {
  const others = (each: PeerValue): number => Math.max(0, each.peers ?? each.organisation);
  const most = Math.max(Number.MIN_VALUE, ...all.map((each) => Math.max(each.own, others(each))));
  return { own: Math.max(0, (value.own / most) * 100), others: (others(value) / most) * 100 };
}

/** What an entity did of a feature lately and is not learned, because it may be an attack: none of its usual values. */
export function lately(feature: BaselineFeature | undefined): BaselineFeature["recent"] {
  if (feature === undefined || feature.kind === "count" || feature.kind === "distinct" || feature.kind === "numeric") return [];
  const usual = new Set(feature.usual.map((each) => each.value));
  return feature.recent.filter((each) => !usual.has(each.value));
}

const STATES: Record<string, string> = { learning: "it still learns", warm: "a short history", confident: "a long history" };

/** `41 days or sessions learned, a long history`. */
export function units(learned: number, state: string): string {
  return `${learned.toLocaleString("en-US")} ${learned === 1 ? "day or session" : "days or sessions"} learned, ${STATES[state] ?? state}`;
}
