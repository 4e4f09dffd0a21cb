// Incidents, the risk of entities and what people say about it: decided, overridden, suppressed, signalled.
import type { Page } from "@playwright/test";
import { accessible, expect, open, test } from "./fixtures";
import { type Service, tokenCreated } from "./service";

const RULE = "rule_id:tests.token_created";

/** An incident about a user, opened by a critical finding, and another finding that joined it. */
async function incident(service: Service, user: string): Promise<any> {
  await service.push([tokenCreated(user, `critical of ${user}`), tokenCreated(user, `second of ${user}`)]);
  const about = `/api/v1/incidents?entity=${encodeURIComponent(`user:${user}`)}`;
  await service.until("an incident of both", async () => (await service.json(about)).items[0]?.findings_total >= 2);
  await service.until("both can be searched", async () => (await service.total(`${RULE} user:${user}`)) === 2);
  return (await service.json(about)).items[0];
}

const numbers = async (page: Page, selector: string): Promise<number[]> =>
  (await page.locator(selector).allTextContents()).map((text) => Number(text.replace("−", "-")));

test("an incident is taken, put on hold, decided, closed and reopened", async ({ page, service }) => {
  const { id, title } = await incident(service, "decided@example.com");
  await open(page, service, `incidents?entity=${encodeURIComponent("user:decided@example.com")}`, "analyst");
  await page.getByRole("link", { name: title }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(title);
  await expect(page.getByText("it opened the incident").first()).toBeVisible();
  await expect(page.getByText(/About the same entity, within 24 hours|It contributed to the risk/).first()).toBeVisible();
  await expect(page.getByRole("group", { name: /^Timeline/ })).toBeVisible();
  await accessible(page);

  await page.getByRole("button", { name: "Take it" }).click();
  await expect(page.getByText("set it to in progress and took it")).toBeVisible();
  await page.getByRole("button", { name: "Put on hold" }).click();
  await expect(page.getByText("put it on hold")).toBeVisible();
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByPlaceholder("What you found out").fill("asked <b>them</b>");
  await page.getByRole("button", { name: "Comment", exact: true }).click();
  await expect(page.locator(".comment")).toHaveText("asked <b>them</b>");
  await page.getByRole("button", { name: "Decide…" }).click();
  const dialog = page.getByRole("dialog", { name: "Decide the incident" });
  await expect(dialog.getByRole("radio", { name: /Duplicate/ })).toBeDisabled();
  await dialog.getByRole("radio", { name: /^Benign/ }).check();
  await dialog.getByLabel("Comment (optional)").fill("planned");
  await dialog.getByRole("button", { name: "Decide", exact: true }).click();
  await expect(page.getByText(/the risk of decided@example.com is 4.0 now, low/)).toBeVisible();
  await expect(page.getByText("resolved it as benign")).toBeVisible();
  await service.until("its findings are resolved", async () => (await service.total(`${RULE} user:decided@example.com reason:benign`)) === 2);
  await page.locator("main").getByRole("button", { name: "Close", exact: true }).click();
  await expect(page.getByText("closed it")).toBeVisible();
  expect((await service.json(`/api/v1/incidents/${id}`)).status).toBe("closed");
  await page.goto(`${service.url}/#/incidents?entity=${encodeURIComponent("user:decided@example.com")}`);
  await expect(page.getByRole("heading", { name: "No incident matches" })).toBeVisible();
  await page.getByRole("button", { name: "Closed", exact: true }).click();
  await page.getByRole("link", { name: title }).click();
  await page.getByRole("button", { name: "Reopen" }).click();
  await expect(page.getByText("Reopened; the verdict is taken back")).toBeVisible();
  await expect(page.getByText("none yet")).toBeVisible();
});

test.describe("a change of an incident by somebody else", () => {
  test.use({ expected: [/412/] });
  test("is not overwritten", async ({ page, service }) => {
    const { id } = await incident(service, "contested@example.com");
    await open(page, service, `incidents/${id}`, "analyst");
    await expect(page.getByRole("button", { name: "Take it" })).toBeVisible();
    await service.api("PATCH", `/api/v1/incidents/${id}`, { assignee: "responder" }, "responder");
    await page.getByRole("button", { name: "Take it" }).click();
    await expect(page.getByText("Somebody else changed it meanwhile")).toBeVisible();
    await expect(page.locator("dd", { hasText: "responder" })).toBeVisible();
  });
});

test("who may only read is offered nothing that changes a risk", async ({ page, service }) => {
  const { id } = await incident(service, "read@example.com");
  await open(page, service, `incidents/${id}`, "viewer");
  await expect(page.getByText("it opened the incident").first()).toBeVisible();
  await expect(page.locator("main").getByRole("button", { name: /Take it|Decide|hold|Comment/ })).toHaveCount(0);
  await page.goto(`${service.url}/#/entities/user/read@example.com`);
  await expect(page.getByRole("heading", { name: "What would change the level" })).toBeVisible();
  await expect(page.getByRole("button", { name: "Override…" })).toHaveCount(0);
  await expect(page.getByRole("heading", { name: "Signals" })).toHaveCount(0);
});

test("contributions add up to the score, and a person's word is signalled and taken back", async ({ page, service }) => {
  await incident(service, "raised@example.com");
  await open(page, service, "entities/user/raised@example.com", "responder");
  const risk = page.getByRole("region", { name: "Risk" });
  await expect(risk.getByRole("img", { name: /^Risk of raised@example.com/ })).toBeVisible();
  const points = await numbers(page, "[aria-label=Risk] td:last-child b, [aria-label=Risk] tr:nth-last-child(2) td:last-child");
  const score = points.at(-1) ?? NaN;
  expect(points.length).toBeGreaterThanOrEqual(3);
  expect(Math.abs(points.slice(0, -1).reduce((sum, n) => sum + n, 0) - score)).toBeLessThan(0.05 * points.length + 0.001);
  await expect(risk.getByText("Time alone: it falls")).toBeVisible();
  await risk.getByRole("button", { name: "Table" }).click();
  await expect(risk.getByRole("columnheader", { name: "base" })).toBeVisible();
  await risk.getByRole("button", { name: "Chart" }).click();
  await risk.getByRole("button", { name: "30 days" }).click();
  await expect(page).toHaveURL(/span=month/);

  await risk.getByRole("button", { name: "Override…" }).click();
  const dialog = page.getByRole("dialog", { name: "Override the level" });
  await dialog.getByRole("radio", { name: /^high/i }).check();
  await dialog.getByRole("combobox").selectOption("24h");
  await dialog.getByLabel("Reason").fill("stolen <i>laptop</i>");
  await dialog.getByRole("button", { name: "Override", exact: true }).click();
  await expect(risk.getByText("responder set the level to high")).toBeVisible();
  await expect(risk.getByText("stolen <i>laptop</i>")).toBeVisible();
  const signals = page.getByRole("region", { name: "Signals" });
  await expect(signals.getByText("set by a person")).toBeVisible();
  await expect(signals.locator(".set").filter({ hasText: "delivered" }).filter({ hasText: "idp" }).first()).toBeVisible();
  await accessible(page);

  await risk.getByRole("button", { name: "Take back…" }).click();
  await page.getByRole("dialog").getByLabel("Reason").fill("it was found");
  await page.getByRole("dialog").getByRole("button", { name: "Take back" }).click();
  await expect(risk.getByRole("button", { name: "Override…" })).toBeVisible();
  await expect(signals.getByText("taken back")).toBeVisible();
});

test("all open findings of an entity are judged at once, and its risk is told anew", async ({ page, service }) => {
  await incident(service, "judged@example.com");
  await open(page, service, "entities/user/judged@example.com", "analyst");
  const risk = page.getByRole("region", { name: "Risk" });
  await expect(risk.getByText(/^(medium|high)/).first()).toBeVisible();
  await page.getByRole("button", { name: /^Decide about all \d+ open…/ }).click();
  await page.keyboard.press("3");
  await page.getByLabel("Comment (optional)").fill("a <b>drill</b>");
  await page.getByRole("dialog").getByRole("button", { name: /^Close \d+ findings/ }).click();
  await expect(page.getByText(/\d findings closed as benign/)).toBeVisible();
  await expect(risk.getByText("low 4.0").or(risk.getByText(/^low\s*4\.0$/)).first()).toBeVisible();
  await service.until("they are resolved", async () => (await service.total("user:judged@example.com -status:resolved")) === 0);
});

test("an entity is shown beside its peers", async ({ page, demo }) => {
  await open(page, demo, "entities/user/hana.haas@example.com");
  const peers = page.getByRole("region", { name: "Peers" });
  await expect(peers.getByText(/^In group \d+ with \d+ other users, who use the same things/)).toBeVisible();
  const told = await demo.json("/api/v1/entities/user/hana.haas@example.com/peers");
  const signin = told.baselines.find((b: any) => b.baseline === "baselines.user_signin");
  const table = peers.getByRole("region", { name: "Differences in baselines.user_signin" });
  for (const feature of signin.features.filter((f: any) => f.alike !== null)) {
    await expect(table.getByText(feature.name, { exact: true })).toBeVisible();
    await expect(table.getByText(`${Math.round(feature.alike * 100)} % alike`).first()).toBeVisible();
  }
  const largest = signin.features.flatMap((f: any) => f.values)[0];
  await expect(table.getByText(largest.value).first()).toBeVisible();
  // The attack of the demo is not learned.
  await expect(table.getByRole("row").filter({ hasText: "Moldova" })).toContainText("not learned");
  const saved = page.waitForEvent("download");
  await peers.getByRole("button", { name: "CSV" }).click();
  expect((await saved).suggestedFilename()).toBe("peers.csv");
});

test("of what no baseline knows there are no peers", async ({ page, service }) => {
  await open(page, service, "entities/user/nobody.at.all@example.com", "viewer");
  await expect(page.getByRole("region", { name: "Peers" }).getByText("No baseline knows it.")).toBeVisible();
});

test("what an entity is seen with comes from all its tables, and what is missing is said", async ({ page, service }) => {
  await service.push([tokenCreated("together@example.com", "together", { ip: "198.51.100.77" })]);
  await service.until("it is found", async () => (await service.total(`${RULE} user:together@example.com`)) === 1);
  await open(page, service, "entities/user/together@example.com", "analyst");
  // Its only event is in api_activity.
  await expect(page.getByRole("region", { name: "Addresses" }).getByText("198.51.100.77")).toBeVisible();
  await expect(page.getByRole("region", { name: "Countries" }).getByText("Germany")).toBeVisible();
  await expect(page.getByText("No devices, no sessions in its events that are kept.")).toBeVisible();
});

test("the queue tells the risk of then and of now", async ({ page, service }) => {
  await incident(service, "then@example.com");
  await open(page, service, `findings?q=${encodeURIComponent(`${RULE} user:then@example.com`)}`, "viewer");
  const told = page.locator(".finding .risk");
  await expect(told).toHaveCount(2);
  await expect(told.first()).toHaveAttribute("title", /^Risk of then@example.com: [\d.]+ when it was found, [\d.]+ now, (medium|high)/);
});

test("findings like one are suppressed for a time", async ({ page, service }) => {
  await incident(service, "muted@example.com");
  const { items } = await service.json(`/api/v1/findings?q=${encodeURIComponent(`${RULE} user:muted@example.com`)}`);
  await open(page, service, `findings/${items[0].id}`, "analyst");
  await page.getByRole("button", { name: "Suppress…" }).click();
  const dialog = page.getByRole("dialog", { name: "Suppress findings like this" });
  await expect(dialog.getByRole("button", { name: "Suppress" })).toBeDisabled();
  await dialog.locator("select", { hasText: "7 days" }).selectOption("7d");
  await dialog.getByLabel("Reason").fill("a planned integration");
  await dialog.getByRole("button", { name: "Suppress" }).click();
  await expect(page.getByText("Suppressed from now on")).toBeVisible();
  const made = (await service.json("/api/v1/suppressions")).items.find((each: any) => each.entity === "user:muted@example.com");
  expect(made).toMatchObject({ rule: "tests.token_created", reason: "a planned integration", created_by: "analyst", over: false });
  await service.push([tokenCreated("muted@example.com", "third of muted")]);
  await service.until("it is found", async () => (await service.total(`${RULE} "third of muted"`)) === 1);
  const third = (await service.json(`/api/v1/findings?q=${encodeURIComponent(`${RULE} "third of muted"`)}`)).items[0];
  await page.goto(`${service.url}/#/findings/${third.id}`);
  await expect(page.locator(".tag", { hasText: "suppressed" })).toBeVisible();
});

test("a finding of a baseline says what was seen, what is usual, and how likely it is", async ({ page, service }) => {
  await incident(service, "unusual@example.com");
  const { items } = await service.json(`/api/v1/findings?q=${encodeURIComponent(`${RULE} user:unusual@example.com`)}`);
  // Baselines need weeks of history: the answer of the service is given the columns that they select.
  const country = { feature: "country", value: "Moldova <b>", occurrences: 1, seen: 0, of: 412.3, expected: 0.0004, peers: 0, score: 9.1, surprise: 7.824, tactic: "TA0001" };
  const hour = { feature: "hour", value: "3", occurrences: 2, seen: 1.5, of: 412.3, expected: 0.004, peers: 0.02, score: 1.2, surprise: 1.1, tactic: null };
  const fields = { user_entity: "unusual@example.com", title: "Unusual", p: 0.0004, ...country, confidence: 0.93, half_life_ms: 86_400_000, model_version: 20_600, features: [country, hour] };
  await page.route(`**/api/v1/findings/${items[0].id}`, async (route) => {
    const answer = await (await route.fetch()).json();
    await route.fulfill({ json: { ...answer, rule_id: "baselines.user_signin", fields } });
  });
  await page.route("**/api/v1/rules/baselines.user_signin/document", (route) => route.fulfill({ json: { ...RULE_DOCUMENT } }));
  await open(page, service, `findings/${items[0].id}`, "analyst");
  await expect(page.getByText("1 in 2,500").first()).toBeVisible();
  await expect(page.getByText("93 % of that rests on its own history")).toBeVisible();
  const rows = page.getByRole("region", { name: "Features" }).locator("tbody tr");
  await expect(rows).toHaveCount(2);
  await expect(rows.first()).toContainText("Moldova <b>");
  await expect(rows.first()).toContainText("0 of 412");
  await expect(rows.first()).toContainText("never");
  await expect(rows.last()).toContainText("0.4 %");
  await accessible(page);
});

const RULE_DOCUMENT = {
  id: "baselines.user_signin", version: "1f2e3d4c5b6a", sql: "SELECT time, user_entity, src_country AS country FROM authentication", description: "How people sign in.",
  runbook: "Ask them.", false_positives: ["A journey"], blind_spots: [], references: [], tests: [],
};
