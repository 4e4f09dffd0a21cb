// Requests to the API with the caller's token. Every failure is an `ApiError`; nothing is retried
// but what the caller asks for again, and hunts that found no place.
import type { paths } from "./schema";
import type * as T from "./types";

export class ApiError extends Error {
  readonly status: number;
  readonly problem: T.Problem | null;

  constructor(status: number, problem: T.Problem | null, message: string) {
    super(message);
    this.status = status;
    this.problem = problem;
  }

  get forbidden(): boolean {
    return this.status === 403;
  }
  get missing(): boolean {
    return this.status === 404;
  }
}

let token = "";
let unauthorized: () => void = () => {};

export function useToken(value: string, onUnauthorized: () => void): void {
  token = value;
  unauthorized = onUnauthorized;
}

type Query = Record<string, string | number | null | undefined>;
interface Options {
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** A path of the description, so that a removed route is an error when types are checked. */
type Known = keyof paths;

export async function send(method: string, path: string, options: Options = {}): Promise<Response> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const headers: Record<string, string> = { Authorization: `Bearer ${token}`, ...options.headers };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const text = query.toString();
  let response: Response;
  try {
    response = await fetch(text === "" ? path : `${path}?${text}`, {
      method,
      headers,
      body: options.body === undefined ? null : JSON.stringify(options.body),
      signal: options.signal ?? null,
      cache: "no-store",
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, null, "The server does not answer. It may be down or restarting.");
  }
  if (response.ok) return response;
  const problem = await readProblem(response);
  if (response.status === 401) unauthorized();
  throw new ApiError(
    response.status,
    problem,
    problem?.detail ?? `The server answered ${response.status}.`,
  );
}

async function readProblem(response: Response): Promise<T.Problem | null> {
  try {
    const body: unknown = await response.json();
    const isProblem = typeof body === "object" && body !== null && "code" in body;
    return isProblem ? (body as T.Problem) : null;
  } catch {
    return null;
  }
}

/** Hunts of this tab at once. A page asks many; the server gives a token a few places. */
const HUNTS = 2;
const TRIES = 5;
const waiting: (() => void)[] = [];
let hunting = 0;

/** Runs a hunt when there is a place, here and on the server: one that was full is asked again. */
async function inTurn<R>(work: () => Promise<R>, signal: AbortSignal | undefined): Promise<R> {
  if (hunting >= HUNTS) await new Promise<void>((go) => waiting.push(go));
  else hunting += 1;
  try {
    for (let tried = 1; ; tried += 1) {
      signal?.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 429 || tried === TRIES) throw error;
        await new Promise((go) => setTimeout(go, 400 * tried));
      }
    }
  } finally {
    const next = waiting.shift();
    if (next === undefined) hunting -= 1;
    else next();
  }
}

async function json<R>(method: string, path: string, options?: Options): Promise<R> {
  return (await send(method, path, options)).json() as Promise<R>;
}

function at(path: Known, values: Record<string, string> = {}): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
}

export interface FindingQuery {
  q?: string;
  from?: string;
  to?: string;
  limit?: number;
  cursor?: string | null;
  facets?: string;
}

export const api = {
  me: (signal?: AbortSignal) => json<T.Me>("GET", at("/api/v1/me"), { signal }),
  findings: (query: FindingQuery, signal?: AbortSignal) =>
    // The query itself says whether it wants findings of rules on trial (`shadow:false`).
    json<T.FindingPage>("GET", at("/api/v1/findings"), { query: { ...query, include: "shadow" }, signal }),
  finding: (id: string, signal?: AbortSignal) =>
    json<T.FindingDetail>("GET", at("/api/v1/findings/{id}", { id }), { signal }),
  triage: (id: string, change: T.Change, version?: number) =>
    json<T.FindingDetail>("PATCH", at("/api/v1/findings/{id}", { id }), {
      body: change,
      headers: version === undefined ? {} : { "If-Match": `"${version}"` },
    }),
  bulk: (bulk: T.Bulk) =>
    json<T.BulkOutcome>("POST", at("/api/v1/findings/bulk"), { body: bulk }),
  incidents: (query: Query, signal?: AbortSignal) =>
    json<T.IncidentPage>("GET", at("/api/v1/incidents"), { query, signal }),
  incident: (id: string, signal?: AbortSignal) =>
    json<T.IncidentDetail>("GET", at("/api/v1/incidents/{id}", { id }), { signal }),
  changeIncident: (id: string, change: T.IncidentUpdate, version: number) =>
    json<T.IncidentChanged>("PATCH", at("/api/v1/incidents/{id}", { id }), {
      body: change,
      headers: { "If-Match": `"${version}"` },
    }),
  entities: (query: Query, signal?: AbortSignal) =>
    json<T.EntityPage>("GET", at("/api/v1/entities"), { query, signal }),
  entity: (kind: string, id: string, signal?: AbortSignal) =>
    json<T.EntityDetail>("GET", at("/api/v1/entities/{kind}/{id}", { kind, id }), { signal }),
  peers: (kind: string, id: string, signal?: AbortSignal) =>
    json<T.EntityPeers>("GET", at("/api/v1/entities/{kind}/{id}/peers", { kind, id }), { signal }),
  risk: (kind: string, id: string, signal?: AbortSignal) =>
    json<T.EntityRisk>("GET", at("/api/v1/risk/{kind}/{id}", { kind, id }), { signal }),
  outlook: (kind: string, id: string, query: Query, signal?: AbortSignal) =>
    json<T.RiskOutlook>("GET", at("/api/v1/risk/{kind}/{id}/outlook", { kind, id }), { query, signal }),
  /** The risk of many entities, now or each at an instant. */
  risks: async (entities: string[], instants?: string[], signal?: AbortSignal) =>
    (await json<{ items: T.RiskBrief[] }>("POST", at("/api/v1/risk/query"), {
      body: instants === undefined ? { entities } : { entities, at: instants },
      signal,
    })).items,
  raise: (kind: string, id: string, raise: T.Raise) =>
    json<unknown>("PUT", at("/api/v1/risk/{kind}/{id}/override", { kind, id }), { body: raise }),
  endOverride: (kind: string, id: string, reason: string) =>
    json<unknown>("DELETE", at("/api/v1/risk/{kind}/{id}/override", { kind, id }), { query: { reason } }),
  signalHistory: async (query: Query, signal?: AbortSignal) =>
    (await json<{ items: T.SignalEntry[] }>("GET", at("/api/v1/signals/history"), { query, signal })).items,
  signals: (signal?: AbortSignal) => json<T.SignalsOverview>("GET", at("/api/v1/signals"), { signal }),
  signalStream: (stream: string, signal?: AbortSignal) =>
    json<T.SignalStreamDetail>("GET", at("/api/v1/signals/{stream}", { stream }), { signal }),
  setStreamStatus: (stream: string, status: string, reason: string) =>
    json<unknown>("POST", at("/api/v1/signals/{stream}/status", { stream }), { body: { status, reason } }),
  /** Sends SETs that wait for a person, or drops them: one, or all of the stream. */
  approve: async (stream: string, jti: string | null, send: boolean, reason: string) =>
    (await json<{ sets: number }>("POST", at("/api/v1/signals/{stream}/approve", { stream }), {
      body: jti === null ? { send, reason } : { jti, send, reason },
    })).sets,
  replaySet: (stream: string, jti: string) =>
    json<{ jti: string }>("POST", at("/api/v1/signals/{stream}/replay", { stream }), { body: { jti } }),
  testStream: (stream: string, type: string, subject: Record<string, string>) =>
    json<{ jti: string }>("POST", at("/api/v1/signals/{stream}/events", { stream }), { body: { event_type: type, subject } }),
  endStorm: async (kind: string, send: boolean, reason: string) =>
    (await json<{ changes: number }>("POST", at("/api/v1/signals/storms/{kind}", { kind }), { body: { send, reason } })).changes,
  audit: (query: Query, signal?: AbortSignal) => json<T.AuditPage>("GET", at("/api/v1/audit"), { query, signal }),
  webhooks: (signal?: AbortSignal) => json<T.WebhookList>("GET", at("/api/v1/webhooks"), { signal }),
  webhook: (webhook: string, signal?: AbortSignal) =>
    json<T.WebhookDetail>("GET", at("/api/v1/webhooks/{webhook}", { webhook }), { signal }),
  enableWebhook: async (webhook: string) =>
    (await json<{ queued: number }>("POST", at("/api/v1/webhooks/{webhook}/enable", { webhook }))).queued,
  /** Sends one dead letter again, or all. */
  replayMessages: async (webhook: string, id: string | null) =>
    (await json<{ messages: number }>("POST", at("/api/v1/webhooks/{webhook}/replay", { webhook }), { body: id === null ? {} : { id } })).messages,
  testWebhook: (webhook: string) =>
    json<{ id: string }>("POST", at("/api/v1/webhooks/{webhook}/test", { webhook })),
  suppressions: async (signal?: AbortSignal) =>
    (await json<{ items: T.Suppression[] }>("GET", at("/api/v1/suppressions"), { signal })).items,
  suppress: (suppression: T.NewSuppression) =>
    json<T.Suppression>("POST", at("/api/v1/suppressions"), { body: suppression }),
  endSuppression: (id: string) =>
    json<T.Suppression>("DELETE", at("/api/v1/suppressions/{id}", { id })),
  rules: async (signal?: AbortSignal) =>
    (await json<{ items: T.Rule[] }>("GET", at("/api/v1/rules"), { signal })).items,
  rule: (id: string, signal?: AbortSignal) =>
    json<T.Rule>("GET", at("/api/v1/rules/{id}", { id }), { signal }),
  ruleDocument: (id: string, signal?: AbortSignal) =>
    json<T.RuleDocument>("GET", at("/api/v1/rules/{id}/document", { id }), { signal }),
  attack: (signal?: AbortSignal) => json<T.AttackTable>("GET", at("/api/v1/attack"), { signal }),
  reload: () => json<T.Reload>("POST", at("/api/v1/reload")),
  sources: (signal?: AbortSignal) => json<T.SourceList>("GET", at("/api/v1/sources"), { signal }),
  status: (signal?: AbortSignal) => json<T.Status>("GET", at("/api/v1/status"), { signal }),
  tables: async (signal?: AbortSignal) =>
    (await json<{ items: T.Table[] }>("GET", at("/api/v1/schema"), { signal })).items,
  hunt: (hunt: T.Hunt, signal?: AbortSignal) =>
    inTurn(() => json<T.HuntAnswer>("POST", at("/api/v1/hunts"), {
      body: hunt,
      headers: { Accept: "application/json" },
      signal,
    }), signal),
  huntCsv: async (hunt: T.Hunt) =>
    (await send("POST", at("/api/v1/hunts"), { body: hunt, headers: { Accept: "text/csv" } })).blob(),
  deadLetters: (query: Query, signal?: AbortSignal) =>
    json<T.DeadLetterPage>("GET", at("/api/v1/dead-letters"), { query, signal }),
  deadLetter: (id: string, signal?: AbortSignal) =>
    json<T.DeadLetterDetail>("GET", at("/api/v1/dead-letters/{id}", { id }), { signal }),
  replay: (ids: string[]) =>
    json<{ replayed: number; failed: { id: string; reason: string }[]; more: boolean }>(
      "POST", at("/api/v1/dead-letters/replay"), { body: { ids } }),
  drop: (ids: string[]) =>
    json<{ dropped: number; more: boolean }>("POST", at("/api/v1/dead-letters/drop"), { body: { ids } }),
};
