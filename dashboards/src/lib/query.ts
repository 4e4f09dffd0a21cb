// The search language as far as the UI writes it: top-level clauses added, removed and swapped. The
// server alone decides what a query means.

/** The top-level clauses of a query, as written. */
export function clauses(query: string): string[] {
  const found: string[] = [];
  let current = "";
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < query.length; i += 1) {
    const char = query[i] as string;
    if (char === "\\" && quoted) {
      current += char + (query[i + 1] ?? "");
      i += 1;
      continue;
    }
    if (char === '"') quoted = !quoted;
    else if (!quoted && char === "(") depth += 1;
    else if (!quoted && char === ")") depth -= 1;
    if (/\s/.test(char) && !quoted && depth <= 0) {
      if (current !== "") found.push(current);
      current = "";
    } else current += char;
  }
  if (current !== "") found.push(current);
  return found;
}

/** A value as it stands in a query: in quotes where it has to be. */
export function quote(value: string): string {
  return /^[\p{L}\p{N}_.@-]+$/u.test(value) && !/^(AND|OR|NOT|-)/.test(value)
    ? value
    : `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

export function clause(field: string, value: string): string {
  return `${field}:${quote(value)}`;
}

/** The values that a query asks of a field: `severity:high`, or `severity:(high OR critical)`. */
export function valuesOf(query: string, field: string): string[] {
  for (const part of clauses(query)) {
    if (!part.startsWith(`${field}:`)) continue;
    const rest = part.slice(field.length + 1);
    const inner = rest.startsWith("(") && rest.endsWith(")") ? rest.slice(1, -1) : rest;
    return clauses(inner).filter((word) => word !== "OR").map(unquote);
  }
  return [];
}

function unquote(word: string): string {
  return word.startsWith('"') && word.endsWith('"') && word.length > 1
    ? word.slice(1, -1).replace(/\\(.)/g, "$1")
    : word;
}

/** The query with exactly these values of a field; none removes it. */
export function withValues(query: string, field: string, values: string[]): string {
  const rest = clauses(query).filter((part) => !part.startsWith(`${field}:`));
  if (values.length === 1) rest.push(clause(field, values[0] as string));
  if (values.length > 1) rest.push(`${field}:(${values.map(quote).join(" OR ")})`);
  return rest.join(" ");
}

/** Adds a value of a field, or takes it away. */
export function toggle(query: string, field: string, value: string): string {
  const now = valuesOf(query, field);
  return withValues(query, field, now.includes(value)
    ? now.filter((other) => other !== value)
    : [...now, value]);
}

export function add(query: string, part: string): string {
  const all = clauses(query);
  return all.includes(part) ? query : [...all, part].join(" ");
}

export interface Suggestion {
  /** What the word becomes. */
  text: string;
  detail: string;
}

/** Fields of the index and, where they are few, their values. */
export const FIELDS: readonly { name: string; detail: string; values?: readonly string[] }[] = [
  { name: "severity", detail: "also severity:>=high", values: ["critical", "high", "medium", "low", "informational"] },
  { name: "status", detail: "work on it", values: ["new", "in_progress", "resolved"] },
  { name: "assignee", detail: "name of a token" },
  { name: "reason", detail: "why it was resolved", values: ["true_positive", "false_positive", "benign", "duplicate"] },
  { name: "rule_id", detail: "identity.mfa_fatigue" },
  { name: "entity", detail: "exact id" },
  { name: "entity_kind", detail: "what it is about", values: ["user", "device", "ip", "session", "workload", "application"] },
  { name: "user", detail: "a user's id" },
  { name: "device", detail: "a device's id" },
  { name: "ip", detail: "an address" },
  { name: "attack", detail: "T1621" },
  { name: "tactic", detail: "TA0006" },
  { name: "title", detail: "words of the title" },
  { name: "state", detail: "brings withdrawn ones back", values: ["provisional", "confirmed", "withdrawn"] },
  { name: "count", detail: "count:>=10" },
  { name: "risk", detail: "risk:[30 TO 90]" },
  { name: "time", detail: "time:>=now-1h" },
  { name: "shadow", detail: "of a rule on trial", values: ["true", "false"] },
  { name: "fields.", detail: "a column the rule selected" },
  { name: "id", detail: "32 hex digits" },
];

/** Completions of the word that ends at the caret; `known` gives values seen in the answer. */
export function complete(
  query: string,
  caret: number,
  known: Record<string, string[]> = {},
): { from: number; items: Suggestion[] } {
  const head = query.slice(0, caret);
  const word = /[^\s(]*$/.exec(head)?.[0] ?? "";
  const sign = word.startsWith("-") ? "-" : "";
  const bare = word.slice(sign.length);
  const from = caret - word.length;
  const colon = bare.indexOf(":");
  if (colon < 0) {
    const items = FIELDS.filter((field) => field.name.startsWith(bare.toLowerCase())).map((field) => ({
      text: `${sign}${field.name}${field.name.endsWith(".") ? "" : ":"}`,
      detail: field.detail,
    }));
    return { from, items };
  }
  const name = bare.slice(0, colon);
  const typed = bare.slice(colon + 1).toLowerCase().replace(/^"/, "");
  const field = FIELDS.find((each) => each.name === name);
  const values = [...new Set([...(field?.values ?? []), ...(known[name] ?? [])])];
  const items = values
    .filter((value) => value.toLowerCase().startsWith(typed) && value.toLowerCase() !== typed)
    .slice(0, 12)
    .map((value) => ({ text: `${sign}${name}:${quote(value)} `, detail: "" }));
  return { from, items };
}
