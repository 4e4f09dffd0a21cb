// Work on findings, many at once, and how it is undone.
import { api } from "../api/client";
import type { Bulk, BulkOutcome, Change, Finding } from "../api/types";

export interface Done {
  outcome: BulkOutcome;
  /** Puts back what was there before; null if that is not known, as after a change by query. */
  undo: (() => Promise<void>) | null;
}

/** Changes these findings. `apply` is told of each one that was changed, with its version now. */
export async function change(
  findings: readonly Finding[],
  how: Change,
  apply: (id: string, how: Partial<Finding>) => void,
): Promise<Done> {
  const before = findings.map((f) => ({ id: f.id, status: f.status, reason: f.reason ?? null, assignee: f.assignee ?? null }));
  const outcome = await send(findings.map((f) => f.id), how);
  const changed = new Map(outcome.items.filter((item) => item.ok).map((item) => [item.id, item.version ?? 0]));
  for (const [id, version] of changed) apply(id, { ...visible(how), version });
  const undo = async (): Promise<void> => {
    // One request for each state they came from.
    const groups = new Map<string, { ids: string[]; how: Change }>();
    for (const { id, status, reason, assignee } of before) {
      if (!changed.has(id)) continue;
      const back: Change = { status, assignee, ...(reason === null ? {} : { reason }) };
      const key = JSON.stringify(back);
      const group = groups.get(key) ?? { ids: [], how: back };
      group.ids.push(id);
      groups.set(key, group);
    }
    for (const { ids, how: back } of groups.values()) {
      const put = await send(ids, back);
      for (const item of put.items) {
        if (item.ok) apply(item.id, { ...visible(back), reason: back.reason ?? null, version: item.version ?? 0 });
      }
    }
  };
  return { outcome, undo };
}

/** Changes everything that a search finds: at most 500, newest first. */
export async function changeQuery(
  where: Pick<Bulk, "query" | "from" | "to">,
  how: Change,
): Promise<Done> {
  return { outcome: await api.bulk({ ...where, include: "shadow", ...how }), undo: null };
}

const AT_ONCE = 500;

async function send(ids: string[], how: Change): Promise<BulkOutcome> {
  const all: BulkOutcome = { changed: 0, failed: 0, more: false, items: [] };
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const part = await api.bulk({ ids: ids.slice(at, at + AT_ONCE), ...how });
    all.changed += part.changed;
    all.failed += part.failed;
    all.items.push(...part.items);
  }
  return all;
}

function visible(how: Change): Partial<Finding> {
  const shown: Partial<Finding> = {};
  if (how.status !== undefined && how.status !== null) {
    shown.status = how.status;
    shown.reason = how.reason ?? null;
  }
  if (how.assignee !== undefined) shown.assignee = how.assignee;
  return shown;
}
