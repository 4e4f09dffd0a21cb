// Services of the tests' own: `sluice demo`, with its three attacks, and `sluice run` with an HTTP
// input that tests push to and a token of every role.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));

export function binary(): string {
  const target = process.env.CARGO_TARGET_DIR ?? resolve(here, "../../target");
  const path = process.env.SLUICE_BIN ?? join(target, "debug/sluice");
  if (!existsSync(path)) throw new Error(`${path} is not there: build it with \`cargo build\`, or set SLUICE_BIN`);
  return path;
}

export const ROLES = ["viewer", "analyst", "rule_author", "responder", "admin", "auditor", "ingest", "metrics"] as const;
export type Role = (typeof ROLES)[number];

export class Service {
  readonly url: string;
  readonly tokens: Record<string, string>;
  readonly #child: ChildProcess;
  readonly #folder: string | null;
  readonly #log: string[];
  /** Who is told of findings and levels, if anybody is. */
  readonly #receiver: Receiver | null;

  constructor(url: string, tokens: Record<string, string>, child: ChildProcess, folder: string | null, log: string[], receiver: Receiver | null = null) {
    this.url = url;
    this.tokens = tokens;
    this.#child = child;
    this.#folder = folder;
    this.#log = log;
    this.#receiver = receiver;
  }

  /** Asks the API as a role. */
  async api(method: string, path: string, body?: unknown, role: Role = "admin"): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.tokens[role]}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? null : JSON.stringify(body),
    });
  }

  async json(path: string, role: Role = "admin"): Promise<any> {
    const response = await this.api("GET", path, undefined, role);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Pushes lines to the input and waits until search has as many findings as expected. */
  async push(lines: string[]): Promise<void> {
    const response = await fetch(`${this.url}/api/v1/ingest/push`, {
      method: "POST", headers: { Authorization: `Bearer ${this.tokens.ingest}` }, body: lines.join("\n"),
    });
    if (response.status !== 202) throw new Error(`push: ${response.status} ${await response.text()}`);
  }

  async until(what: string, test: () => Promise<boolean>, patience = 90_000): Promise<void> {
    const end = Date.now() + patience;
    while (Date.now() < end) {
      if (await test()) return;
      await new Promise((done) => setTimeout(done, 150));
    }
    throw new Error(`it did not come to this: ${what}\n${this.#log.slice(-20).join("\n")}`);
  }

  async total(q: string): Promise<number> {
    return (await this.json(`/api/v1/findings?limit=1&q=${encodeURIComponent(q)}`)).total.value;
  }

  /** What an endpoint of the tests answers from now on: `picky` and `gone` refuse until they are told otherwise. */
  answer(path: "idp" | "careful" | "picky" | "chat" | "gone", status: number): void {
    this.#receiver?.answers.set(`/${path}`, status);
  }

  async stop(): Promise<void> {
    const ended = new Promise((done) => this.#child.once("exit", done));
    this.#child.kill("SIGINT");
    await ended;
    this.#receiver?.server.close();
    this.#receiver?.server.closeAllConnections();
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Endpoints that are told of things, by path; each takes what it gets unless it has another answer. */
interface Receiver {
  server: Server;
  answers: Map<string, number>;
}

async function receive(): Promise<Receiver> {
  const answers = new Map([["/picky", 400], ["/gone", 410]]);
  const server = createServer((request, response) => {
    const status = answers.get(request.url ?? "") ?? 202;
    request.resume().on("end", () => response.writeHead(status, { "Content-Type": "application/json" }).end(status < 400 ? "" : '{"err":"invalid_request","description":"<b>no</b>"}'));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { server, answers };
}

/**
 * A rule of the tests: every API token made in Okta is a finding, with what the event says in its title; of critical
 * severity, which opens an incident, if the name of the token begins so.
 */
const RULE = `/*---
id: tests.token_created
title: Token created
severity: high
status: stable
description: A rule of the browser tests.
attack: [TA0003, T1098.001]
entity: {user_entity: user, src_ip: ip}
runbook: Ask whoever made it.
false_positives: ["A planned integration"]
references: ["https://attack.mitre.org/techniques/T1098/001/"]
---*/
SELECT time, user_entity, src_ip, resource_name,
       CASE WHEN resource_name LIKE 'critical%' THEN 'critical' ELSE 'high' END AS severity,
       concat(user_entity, ' made ', coalesce(resource_name, 'a token')) AS title
FROM api_activity
WHERE api_operation = 'system.api_token.create'
/*--- tests
- name: a token fires
  events: [{t: +0s, table: api_activity, api_operation: system.api_token.create, user_entity: ann}]
  expect: [{user_entity: ann}]
---*/
`;

/** A rule and a lookup whose words are hostile: text of rules and lookups is text. */
const HOSTILE_RULE = `/*---
id: tests.hostile
title: "<img src=x onerror=alert(20)> {{7*7}} \\"rule\\""
severity: low
status: stable
description: "<script>alert(21)</script>"
entity: {user_entity: user}
runbook: "<a href=javascript:alert(22)>x</a>"
false_positives: ["<svg onload=alert(23)>"]
references: ["javascript:alert(24)"]
---*/
SELECT time, user_entity, lookup('notes', resource_name, 'note') AS note
FROM api_activity
WHERE api_operation = 'system.api_token.create' AND resource_name = 'known'
/*--- tests
- name: a known name fires
  lookups: {notes: [{who: known, note: x}]}
  events: [{t: +0s, table: api_activity, api_operation: system.api_token.create, user_entity: ann, resource_name: known}]
  expect: [{user_entity: ann, note: x}]
---*/
`;
const NOTES = "who,note\nknown,\"<iframe srcdoc='<script>alert(25)</script>'>\"\n";

/** A service of its own, over an empty data directory or one that is there. */
export async function run(filled?: string): Promise<Service> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-ui-"));
  const receiver = await receive();
  const endpoint = (path: string): string => JSON.stringify(`http://127.0.0.1:${(receiver.server.address() as AddressInfo).port}/${path}`);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(join(folder, "key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const data = filled ?? join(folder, "data");
  mkdirSync(join(folder, "rules/tests"), { recursive: true });
  writeFileSync(join(folder, "rules/tests/token_created.sql"), RULE);
  writeFileSync(join(folder, "rules/tests/hostile.sql"), HOSTILE_RULE);
  mkdirSync(join(folder, "lookups"));
  writeFileSync(join(folder, "lookups/notes.csv"), NOTES);
  writeFileSync(join(folder, "secret"), "whsec_c2x1aWNlLXRlc3RzLXNsdWljZS10ZXN0cy1zbHVpY2U=", { mode: 0o600 });
  writeFileSync(join(folder, "sluice.toml"), [
    `data_dir = ${JSON.stringify(data)}`,
    `rules = [${JSON.stringify(join(folder, "rules"))}, "builtin"]`,
    `lookups = [${JSON.stringify(join(folder, "lookups"))}]`,
    '[sources.push]\nmapping = "okta.system"\nhttp = {}',
    '[api]\nlisten = "127.0.0.1:0"',
    '[engine]\nmin_free = "64MiB"',
    `[signals]\nissuer = "https://sluice.example.com"\nsigning_keys = [${JSON.stringify(`file:${join(folder, "key.pem")}`)}]\npush_networks = ["127.0.0.0/8"]`,
    `[signals.receivers.idp]\nmin_interval = "1s"\npush_url = ${endpoint("idp")}`,
    // One that a person decides for, and one that refuses what it gets.
    `[signals.receivers.careful]\nmin_interval = "1s"\napproval = true\npush_url = ${endpoint("careful")}`,
    `[signals.receivers.picky]\nmin_interval = "1s"\npush_url = ${endpoint("picky")}`,
    `[webhooks.chat]\nurl = ${endpoint("chat")}\nsecrets = [${JSON.stringify(`file:${join(folder, "secret")}`)}]\nrate = 10000\nnetworks = ["127.0.0.0/8"]`,
    `[webhooks.gone]\nurl = ${endpoint("gone")}\nsecrets = [${JSON.stringify(`file:${join(folder, "secret")}`)}]\nevents = ["incident.opened"]\nnetworks = ["127.0.0.0/8"]`,
  ].join("\n"));
  // Names are given once: a filled directory may have those of an earlier run.
  const name = (role: Role): string => (filled === undefined ? role : `${role}-${Date.now()}`);
  const tokens = Object.fromEntries(ROLES.map((role) => [role, execFileSync(binary(), ["token", "create", "--data-dir", data, "--role", role, "--name", name(role)], { stdio: ["ignore", "pipe", "ignore"] }).toString().trim()]));
  const { child, url, log } = await start(["run", "--config", join(folder, "sluice.toml")], /^listening on (\S+)/);
  return new Service(url, tokens, child, folder, log, receiver);
}

export async function demo(): Promise<Service> {
  const { child, url: address, log } = await start(["demo", "--listen", "127.0.0.1:0", "--speed", "2400"], /^web UI: (\S+)/);
  const [url = "", token = ""] = address.split("/#token=");
  const service = new Service(url, { admin: token }, child, null, log);
  try {
    await service.until("the replay is over", async () => log.some((line) => line.startsWith("serving until")), 280_000);
    await service.until("search has caught up", async () => (await service.total("shadow:false")) >= 36, 120_000);
  } catch (error) {
    // Nobody else knows of it yet.
    await service.stop();
    throw error;
  }
  return service;
}

async function start(args: string[], ready: RegExp): Promise<{ child: ChildProcess; url: string; log: string[] }> {
  const child = spawn(binary(), args, { stdio: ["ignore", "ignore", "pipe"] });
  const log: string[] = [];
  let rest = "";
  const url = await new Promise<string>((done, fail) => {
    child.once("exit", (code) => fail(new Error(`sluice ${args[0]} ended with ${code}:\n${log.join("\n")}`)));
    child.stderr?.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        log.push(line);
        const found = ready.exec(line);
        if (found?.[1] !== undefined) done(found[1]);
      }
    });
  });
  return { child, url, log };
}

let serial = 0;

/** An Okta event: somebody makes an API token of a name. */
export function tokenCreated(user: string, name: string, more: { agent?: string; ip?: string } = {}): string {
  serial += 1;
  return JSON.stringify({
    uuid: `00000000-0000-4000-8000-${String(serial).padStart(12, "0")}`,
    published: new Date().toISOString(),
    eventType: "system.api_token.create",
    version: "0",
    severity: "INFO",
    displayMessage: "Create API token",
    actor: { id: `00u${serial}`, type: "User", alternateId: user, displayName: user },
    client: { userAgent: { rawUserAgent: more.agent ?? "Mozilla/5.0", os: "Linux", browser: "FIREFOX" }, ipAddress: more.ip ?? "203.0.113.7", geographicalContext: { country: "Germany" } },
    outcome: { result: "SUCCESS", reason: null },
    target: [{ id: `t${serial}`, type: "Token", alternateId: "unknown", displayName: name }],
  });
}
