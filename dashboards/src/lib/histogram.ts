// Findings over time: one small search for each bucket, since the API counts and does not bin.
import { api } from "../api/client";
import type { Bar } from "../components/Bars.svelte";
import { few } from "./resource.svelte";

export interface Bucket {
  from: number;
  to: number;
  label: string;
}

const DAY = 86_400_000;

/** The last days, today's last, cut at midnight UTC. */
export function days(n: number, now: number): Bucket[] {
  const today = Math.floor(now / DAY) * DAY;
  return Array.from({ length: n }, (_, i) => {
    const from = today - (n - 1 - i) * DAY;
    return { from, to: from + DAY, label: new Date(from).toISOString().slice(5, 10) };
  });
}

/** How many findings of each severity a query has in each bucket. */
export async function bySeverity(q: string, buckets: Bucket[], signal: AbortSignal): Promise<Bar[]> {
  return few(buckets, async (bucket) => {
    const page = await api.findings({
      q, from: new Date(bucket.from).toISOString(), to: new Date(bucket.to).toISOString(), limit: 1, facets: "severity",
    }, signal);
    const parts = Object.fromEntries((page.facets.severity ?? []).map((facet) => [facet.value, facet.count]));
    return { label: bucket.label, parts };
  });
}
