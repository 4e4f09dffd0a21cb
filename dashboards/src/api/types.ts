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

export const SEVERITIES = ["critical", "high", "medium", "low", "informational"] as const;
export const REASONS = ["true_positive", "false_positive", "benign", "duplicate"] as const;
