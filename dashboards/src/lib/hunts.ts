// SQL that pages ask for themselves, and what they know about an answer.
import { literal } from "./sql";

export interface HuntColumn {
  name: string;
  type: string;
}

/** The first table a hunt reads, as far as its text tells. */
export function tableOf(sql: string): string {
  return /\bfrom\s+([a-z_][\w.]*)/i.exec(sql)?.[1] ?? "events";
}

/** Per entity kind: tables and the column that names it there. */
export const ENTITY_COLUMNS: Record<string, readonly { table: string; column: string }[]> = {
  user: [
    { table: "authentication", column: "user_entity" },
    { table: "api_activity", column: "user_entity" },
    { table: "identity_change", column: "user_entity" },
  ],
  device: [
    { table: "authentication", column: "device_entity" },
    { table: "process", column: "device_entity" },
    { table: "network", column: "device_entity" },
  ],
  ip: [
    { table: "authentication", column: "src_ip" },
    { table: "network", column: "src_ip" },
    { table: "api_activity", column: "src_ip" },
  ],
  session: [
    { table: "authentication", column: "session_uid" },
    { table: "api_activity", column: "session_uid" },
  ],
};

/** Events of an entity by weekday (0 is Sunday) and hour, in UTC. */
export function activitySql(table: string, column: string, id: string): string {
  return `SELECT date_part('dow', time) AS day, date_part('hour', time) AS hour, count(*) AS events
FROM ${table}
WHERE lower(${column}) = ${literal(id)}
GROUP BY 1, 2`;
}

/** Values of another column that are listed of an entity. */
export const SEEN_MAX = 12;

/** Values of another column that the entity was seen with, of all its tables, the latest first; one more than are listed. */
export function withSql(places: readonly { table: string; column: string }[], id: string, other: string): string {
  const each = places.map(({ table, column }) => `  SELECT ${other} AS value, time FROM ${table}
  WHERE lower(${column}) = ${literal(id)} AND ${other} IS NOT NULL`);
  return `SELECT value, count(*) AS events, min(time) AS first_seen, max(time) AS last_seen
FROM (
${each.join("\n  UNION ALL\n")}
)
GROUP BY value
ORDER BY last_seen DESC
LIMIT ${SEEN_MAX + 1}`;
}

/** A network segment of an address: its named zone, else its /24, else the internet as one. */
export function segmentSql(side: "src" | "dst"): string {
  return `CASE WHEN ${side}_segment IS NOT NULL THEN ${side}_segment
         WHEN is_private(${side}_ip) THEN regexp_replace(${side}_ip, '[0-9]+$', '0/24')
         ELSE 'internet' END`;
}

/** Flows between segments, those since `split` and those before it apart. */
export function flowsSql(split: string | null): string {
  const since = split === null ? "" : ` FILTER (WHERE time >= TIMESTAMP ${literal(split)})`;
  const before = split === null ? "0" : `count(*) FILTER (WHERE time < TIMESTAMP ${literal(split)})`;
  return `SELECT ${segmentSql("src")} AS src,
       ${segmentSql("dst")} AS dst,
       count(*)${since} AS flows,
       ${before} AS flows_before,
       count(*) FILTER (WHERE status = 'Failure') AS refused,
       sum(bytes_out) AS bytes_out,
       count(DISTINCT dst_port) AS ports,
       min(time) AS first_seen,
       max(time) AS last_seen
FROM network
WHERE src_ip IS NOT NULL AND dst_ip IS NOT NULL
GROUP BY 1, 2
ORDER BY count(*) DESC`;
}

/** The hosts of one cell, flows since `split` and those before it apart. */
export function hostsSql(src: string, dst: string, split: string | null): string {
  const since = split === null ? "" : ` FILTER (WHERE time >= TIMESTAMP ${literal(split)})`;
  const before = split === null ? "0" : `count(*) FILTER (WHERE time < TIMESTAMP ${literal(split)})`;
  return `SELECT src_ip, dst_ip, dst_port, count(*)${since} AS flows,
       ${before} AS flows_before,
       count(*) FILTER (WHERE status = 'Failure') AS refused,
       sum(bytes_out) AS bytes_out, min(time) AS first_seen, max(time) AS last_seen
FROM network
WHERE ${segmentSql("src")} = ${literal(src)}
  AND ${segmentSql("dst")} = ${literal(dst)}
GROUP BY 1, 2, 3
ORDER BY count(*) DESC`;
}

/** When the newest quarter begins of the time that flows cover; never, if they cover no time. */
export function newestQuarter(flows: readonly { first: number; last: number }[]): number {
  let low = Infinity;
  let high = -Infinity;
  for (const { first, last } of flows) {
    if (first < low) low = first;
    if (last > high) high = last;
  }
  return high > low ? high - (high - low) / 4 : Infinity;
}
