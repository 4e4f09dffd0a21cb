// What a finding of a baseline says about each feature, read from the columns of the finding.

export interface Feature {
  feature: string;
  value: string;
  /** How often in this day or session. */
  occurrences: number | null;
  /** How often in the entity's own history, of how many; recent ones count more. */
  seen: number | null;
  of: number | null;
  /** The share it usually has, of this entity and of its peers; of a count the mean. */
  expected: number | null;
  peers: number | null;
  /** `-ln p`. */
  surprise: number | null;
  tactic: string | null;
}

export interface Explained {
  /** How likely something this unusual is by chance, 0 to 1. */
  p: number | null;
  /** How much of it rests on the entity's own history, 0 to 1. */
  confidence: number | null;
  features: Feature[];
}

/** Null for a finding of a rule. */
export function explained(rule: string, fields: Record<string, unknown>): Explained | null {
  if (!rule.startsWith("baselines.")) return null;
  const listed = Array.isArray(fields.features) ? fields.features.filter(isRecord).map(read) : [];
  const features = listed.length > 0 ? listed : typeof fields.feature === "string" ? [read(fields)] : [];
  return { p: number(fields.p), confidence: number(fields.confidence), features };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function read(fields: Record<string, unknown>): Feature {
  const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
  return {
    feature: text(fields.feature) ?? "", value: text(fields.value) ?? "", occurrences: number(fields.occurrences),
    seen: number(fields.seen), of: number(fields.of), expected: number(fields.expected), peers: number(fields.peers),
    surprise: number(fields.surprise), tactic: text(fields.tactic),
  };
}

/** `1 in 2,500`; nobody reads `p = 0.0004` at a glance. */
export function chance(p: number): string {
  if (p >= 0.5) return "as likely as not";
  const one = 1 / Math.max(p, 1e-12);
  const digits = Math.max(0, Math.floor(Math.log10(one)) - 1);
  const rounded = Math.round(one / 10 ** digits) * 10 ** digits;
  return `1 in ${rounded.toLocaleString("en-US")}`;
}

/** A share as per cent; a mean, which may be above 1, as it is. */
export function usual(value: number | null): string {
  if (value === null) return "–";
  if (value > 1) return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
  if (value === 0) return "never";
  return value < 0.001 ? "< 0.1 %" : `${(value * 100).toLocaleString("en-US", { maximumFractionDigits: 1 })} %`;
}

/** `0 of 412`: decayed counts, so that they need not be whole. */
export function seenOf(seen: number | null, of: number | null): string {
  if (seen === null || of === null) return "–";
  const short = (n: number): string => n.toLocaleString("en-US", { maximumFractionDigits: n < 10 ? 1 : 0 });
  return `${short(seen)} of ${short(of)}`;
}

/** How surprising, as a word for its colour: much from 1 in 1,000 on, some from 1 in 20 on. */
export function degree(surprise: number): "little" | "some" | "much" {
  if (surprise >= Math.log(1_000)) return "much";
  return surprise >= Math.log(20) ? "some" : "little";
}
