// Short names for the types that openapi-typescript makes of api/openapi.json.
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Problem = Schemas["Problem"];
export type Fault = Schemas["Fault"];
export type Me = Schemas["Me"];
export type Entity = { kind: string; id: string };
export type Finding = Omit<Schemas["Finding"], "fields"> & { fields: Record<string, unknown> };
export type FindingDetail = Finding & {
  evidence: Record<string, unknown>[];
  history: TriageEntry[];
  suppressed_by: string[];
};
export type FindingPage = Omit<Schemas["FindingPage"], "items"> & { items: Finding[] };
export type Facet = Schemas["Facet"];
export type TriageEntry = Schemas["TriageEntry"];
export type Change = Schemas["Change"];
export type Bulk = Schemas["Bulk"];
export type BulkOutcome = Schemas["BulkOutcome"];
export type Rule = Schemas["Rule"];
export type RuleDocument = Schemas["RuleDocument"];
export type AttackTable = Schemas["AttackTable"];
export type Source = Schemas["Source"];
export type SourceList = Schemas["SourceList"];
export type Records = Schemas["Records"];
export type Status = Schemas["Status"];
export type Table = Schemas["Table"];
export type DeadLetter = Schemas["DeadLetter"];
export type DeadLetterDetail = Schemas["DeadLetterDetail"];
export type DeadLetterPage = Schemas["DeadLetterPage"];
export type Hunt = Schemas["Hunt"];
export type HuntAnswer = Omit<Schemas["HuntAnswer"], "rows"> & { rows: Record<string, unknown>[] };
export type Reload = Schemas["Reload"];
export type EntityPage = Schemas["EntityPage"];
export type EntityItem = Schemas["EntityItem"];
export type EntityDetail = Schemas["EntityDetail"];
export type EntityPeers = Schemas["EntityPeers"];
export type BaselineFeature = Schemas["BaselineFeature"];
export type EntityBaseline = Schemas["EntityBaseline"];
export type PeerFeature = Schemas["PeerFeature"];
export type PeerValue = Schemas["PeerValue"];
export type EntityRisk = Schemas["EntityRisk"];
export type RiskBrief = Schemas["RiskBrief"];
export type RiskChange = Schemas["RiskChange"];
export type RiskFactor = Schemas["RiskFactor"];
export type RiskOutlook = Schemas["RiskOutlook"];
export type RiskPoint = Schemas["RiskPoint"];
export type Raise = Schemas["Raise"];
export type Incident = Schemas["Incident"];
export type IncidentPage = Schemas["IncidentPage"];
export type IncidentDetail = Schemas["IncidentDetail"];
export type IncidentUpdate = Schemas["IncidentUpdate"];
export type IncidentChanged = Schemas["IncidentChanged"];
export type Suppression = Schemas["Suppression"];
export type NewSuppression = Schemas["NewSuppression"];
export type AuditPage = Schemas["AuditPage"];
export type AuditRecord = Schemas["AuditRecord"];
export type AuditHead = Schemas["AuditHead"];
export type SignalsOverview = Schemas["Overview"];
export type SignalStream = Schemas["StreamView"];
export type SignalStorm = Schemas["StormView"];
export type SignalSet = Schemas["SetView"] & { subject: Record<string, unknown>; event: Record<string, unknown> };
export type SignalStreamDetail = Omit<Schemas["StreamDetail"], "queue" | "dead_letters"> & { queue: SignalSet[]; dead_letters: SignalSet[] };
export type Webhook = Schemas["Webhook"];
export type WebhookList = Schemas["WebhookList"];
export type WebhookDetail = Schemas["WebhookDetail"];
export type WebhookMessage = Schemas["WebhookMessage"];
/** What happened to a level, a stream or a SET. */
export interface SignalEntry {
  time: string;
  action: string;
  by?: string;
  stream?: string;
  jti?: string;
  txn?: string;
  event_type?: string;
  about?: string;
  detail?: string;
}

export const SEVERITIES = ["critical", "high", "medium", "low", "informational"] as const;
export const ENTITY_KINDS: readonly string[] = ["user", "device", "session", "workload", "application", "ip"];
export const REASONS = ["true_positive", "false_positive", "benign", "duplicate"] as const;
