// SQL cut into pieces for colouring, and a rule file made of a hunt. It does not understand SQL: the
// server does.

export interface Piece {
  kind: "keyword" | "string" | "number" | "comment" | "function" | "name" | "other";
  text: string;
}

const KEYWORDS = new Set(
  ("select from where and or not in is null true false as on join left right inner outer full cross group by having order limit " +
    "case when then else end between like ilike exists distinct filter interval union all with over partition asc desc cast " +
    "match_recognize").split(" "),
);

const PIECE = /(\/\*[\s\S]*?(?:\*\/|$)|--[^\n]*)|('(?:[^']|'')*'?)|(\b\d+(?:\.\d+)?\b)|([A-Za-z_][\w.]*)|(\s+|[^\sA-Za-z_'\d]|.)/g;

export function pieces(sql: string): Piece[] {
  const found: Piece[] = [];
  for (const match of sql.matchAll(PIECE)) {
    const [text, comment, string, number, name] = match;
    let kind: Piece["kind"] = "other";
    if (comment !== undefined) kind = "comment";
    else if (string !== undefined) kind = "string";
    else if (number !== undefined) kind = "number";
    else if (name !== undefined) {
      const after = sql.slice((match.index ?? 0) + text.length);
      kind = KEYWORDS.has(name.toLowerCase()) ? "keyword" : /^\s*\(/.test(after) ? "function" : "name";
    }
    found.push({ kind, text });
  }
  return found;
}

/** A literal of a text. */
export function literal(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

/** The text of a rule file: the front matter a rule needs, the SELECT, and a test to fill in. */
export function ruleText(rule: {
  id: string;
  title: string;
  severity: string;
  entity: string;
  kind: string;
  sql: string;
}): string {
  const sql = rule.sql.trim().replace(/;\s*$/, "");
  const entity = rule.entity === "" ? "" : `entity: {${rule.entity}: ${rule.kind}}\n`;
  return `/*---
id: ${rule.id}
title: ${JSON.stringify(rule.title)}
severity: ${rule.severity}
status: experimental
${entity}---*/
${sql}
`;
}
