// Words for incidents: what a reason or a verdict means to whoever decides.
import { api } from "../api/client";
import type { Finding, IncidentDetail } from "../api/types";
import { few } from "./resource.svelte";

/** Why a finding belongs to an incident. */
export const WHY: Record<string, { label: string; detail: string }> = {
  critical: { label: "Critical", detail: "Of critical severity: it opened the incident" },
  risk_high: { label: "Risk reached high", detail: "The risk of the entity reached high with it: it opened the incident" },
  contributed: { label: "Contributed", detail: "It contributed to the risk that opened the incident" },
  same_entity: { label: "Same entity", detail: "About the same entity, within 24 hours of the finding before" },
};

export const VERDICTS = [
  { value: "confirmed_compromise", label: "Confirmed compromise", detail: "The account or device is in other hands. Its risk stays high until the incident is closed." },
  { value: "true_positive", label: "True positive", detail: "Real, and dealt with. Its findings are resolved and go on to decay." },
  { value: "benign", label: "Benign", detail: "It happened and was allowed. Its findings are resolved and weigh nothing any more." },
  { value: "false_positive", label: "False positive", detail: "The rules were wrong. Its findings weigh nothing, nor do others of these rules about this entity for 30 days." },
  { value: "duplicate", label: "Duplicate", detail: "Another incident takes its findings." },
] as const;

/** Ids asked for in one search. */
const AT_ONCE = 40;

/** The findings of an incident, oldest first. Those that were forgotten since are missing. */
export async function findingsOf(incident: IncidentDetail, signal: AbortSignal): Promise<Finding[]> {
  const ids = incident.findings.map((member) => member.id);
  const parts: string[][] = [];
  for (let at = 0; at < ids.length; at += AT_ONCE) parts.push(ids.slice(at, at + AT_ONCE));
  const pages = await few(parts, (part) => api.findings({
    // Withdrawn ones too: they were part of it.
    q: `id:(${part.join(" OR ")}) state:(provisional OR confirmed OR withdrawn)`, limit: AT_ONCE,
  }, signal));
  return pages.flatMap((page) => page.items).sort((a, b) => a.time.localeCompare(b.time));
}
