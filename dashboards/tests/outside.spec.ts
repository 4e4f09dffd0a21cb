// What leaves the service: signals that a person approves or refuses, streams and their dead letters, webhooks;
// and suppressions.
import type { Page } from "@playwright/test";
import { accessible, expect, open, test } from "./fixtures";
import { type Service, tokenCreated } from "./service";

const RULE = "rule_id:tests.token_created";

/** The risk of a user rises to high, which receivers are told. */
async function rises(service: Service, user: string): Promise<void> {
  await service.push([tokenCreated(user, `critical of ${user}`), tokenCreated(user, `second of ${user}`)]);
  await service.until("an incident", async () => (await service.json(`/api/v1/incidents?entity=${encodeURIComponent(`user:${user}`)}`)).items.length > 0);
}
async function stream(service: Service, receiver: string): Promise<any> {
  const { streams } = await service.json("/api/v1/signals");
  return service.json(`/api/v1/signals/${streams.find((each: any) => each.receiver === receiver).id}`);
}
const waits = (service: Service, user: string) => service.until(`a signal about ${user} waits`, async () =>
  (await stream(service, "careful")).queue.some((set: any) => set.awaiting_approval && JSON.stringify(set.subject).includes(user)));
const row = (page: Page, user: string) => page.getByRole("region", { name: /Signals that wait for a person/ }).getByRole("row").filter({ hasText: user }).first();

test("a signal that waits for a person is approved, another refused, each with a reason", async ({ page, service }) => {
  await rises(service, "approved@example.com");
  await rises(service, "refused@example.com");
  await waits(service, "approved@example.com");
  await waits(service, "refused@example.com");
  await open(page, service, "signals", "responder");
  await expect(row(page, "approved@example.com")).toContainText("risk-level-change");
  await expect(page.locator("nav .badge")).not.toHaveText("0");
  await accessible(page);

  await row(page, "approved@example.com").getByRole("button", { name: "Approve…" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByRole("heading")).toContainText("of approved@example.com");
  await expect(dialog.getByRole("button", { name: "Approve" })).toBeDisabled();
  await accessible(page, "dialog");
  await dialog.getByLabel("Reason").fill("asked <b>them</b> by phone");
  await dialog.getByRole("button", { name: "Approve" }).click();
  await expect(page.getByText("1 signal approved")).toBeVisible();
  await row(page, "refused@example.com").getByRole("button", { name: "Refuse…" }).click();
  await dialog.getByLabel("Reason").fill("a known job");
  await dialog.getByRole("button", { name: "Refuse" }).click();
  await expect(page.getByText("1 signal refused")).toBeVisible();

  await page.getByLabel("Kind").selectOption("approved");
  await expect(page).toHaveURL(/action=approved/);
  const history = page.getByRole("region", { name: "History" });
  const told = (user: string, why: string) => history.getByRole("row").filter({ hasText: user }).filter({ hasText: why }).first();
  await expect(told("approved@example.com", "asked <b>them</b> by phone")).toBeVisible();
  await page.goto(`${service.url}/#/signals?action=rejected`);
  await expect(told("refused@example.com", "a known job")).toBeVisible();
  // What was approved is delivered; of what was refused nothing is heard.
  const { stream: { id } } = await stream(service, "careful");
  const delivered = async (user: string): Promise<number> =>
    (await service.json(`/api/v1/signals/history?stream=${id}&action=delivered&about=${encodeURIComponent(`user:${user}`)}`)).items.length;
  await service.until("it is delivered", async () => (await delivered("approved@example.com")) > 0);
  expect(await delivered("refused@example.com")).toBe(0);
});

test("who may not send signals is offered no decision", async ({ page, service }) => {
  await rises(service, "seen@example.com");
  await waits(service, "seen@example.com");
  await open(page, service, "signals", "analyst");
  await expect(row(page, "seen@example.com")).toBeVisible();
  await expect(page.locator("main").getByRole("button", { name: /Approve|Refuse|Drop|Send/ })).toHaveCount(0);
  await page.getByRole("link", { name: "careful" }).first().click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("careful");
  await expect(page.locator("main").getByRole("button", { name: /Approve|Refuse|Pause|Disable|Send/ })).toHaveCount(0);
});

test("a stream is paused and enabled, tested, and what its receiver refused is sent again", async ({ page, service }) => {
  service.answer("picky", 400);
  await rises(service, "picky@example.com");
  await service.until("it is a dead letter", async () => (await stream(service, "picky")).dead_letters.length > 0);
  const { stream: { id } } = await stream(service, "picky");
  await open(page, service, `signals/${id}`, "responder");
  const dead = page.getByRole("region", { name: "Signals the receiver refused" });
  await expect(dead.getByRole("row")).not.toHaveCount(1);
  await accessible(page);
  service.answer("picky", 202);
  // Signals of other tests may become dead letters meanwhile: it is this one that is none any more.
  const sent: string[] = [];
  page.on("request", (request) => { if (request.url().endsWith("/replay")) sent.push(request.postDataJSON().jti); });
  await dead.getByRole("button", { name: "Send again" }).first().click();
  await expect(page.getByText("It waits for delivery again")).toBeVisible();
  expect(sent).toHaveLength(1);
  await service.until("it is dead no more", async () => (await stream(service, "picky")).dead_letters.every((set: any) => set.jti !== sent[0]));

  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Pause…" }).click();
  await dialog.getByLabel("Reason").fill("maintenance");
  await dialog.getByRole("button", { name: "Pause" }).click();
  await expect(page.getByText("paused: maintenance")).toBeVisible();
  await page.getByRole("button", { name: "Send a test…" }).click();
  await accessible(page, "dialog");
  await dialog.getByRole("button", { name: "Send", exact: true }).click();
  await expect(page.getByRole("region", { name: "Signals that wait for delivery" }).getByRole("row").filter({ hasText: "test@example.com" })).toBeVisible();
  await page.getByRole("button", { name: "Enable…" }).click();
  await dialog.getByLabel("Reason").fill("done");
  await dialog.getByRole("button", { name: "Enable" }).click();
  await expect(page.getByText("Nothing waits for delivery.")).toBeVisible();
});

test("a webhook whose endpoint is gone is enabled again, and tested", async ({ page, service }) => {
  service.answer("gone", 410);
  await rises(service, "hooked@example.com");
  await service.until("it is disabled", async () => (await service.json("/api/v1/webhooks/gone")).webhook.disabled !== null);
  await service.until("chat took its messages", async () => (await service.json("/api/v1/webhooks/chat")).webhook.delivered_at !== null);
  await open(page, service, "webhooks", "responder");
  await expect(page.getByRole("row").filter({ hasText: "chat" })).toContainText("enabled");
  await expect(page.getByRole("row").filter({ hasText: "gone" })).toContainText("the endpoint is gone");
  await accessible(page);
  await page.getByRole("link", { name: "gone" }).click();
  await expect(page.getByRole("region", { name: "Messages that wait" }).getByText("incident.opened").first()).toBeVisible();
  await accessible(page);
  service.answer("gone", 202);
  await page.getByRole("button", { name: "Enable" }).click();
  await expect(page.getByText(/^Enabled; /)).toBeVisible();
  await expect(page.locator("main").getByText("enabled", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Send a test" }).click();
  await expect(page.getByText("A test waits for delivery")).toBeVisible();
  await service.until("the test was taken", async () => (await service.json("/api/v1/webhooks/gone")).webhook.delivered_at !== null);
});

test("what an endpoint refused for good is sent again, one or all", async ({ page, service }) => {
  // A message is a dead letter after 27 hours: the answer of the service is given two of them.
  const letter = (n: number) => ({ id: `msg_${n}`, kind: "finding.opened", subject: `${n}`.repeat(32).slice(0, 32), at: "2026-11-24T08:15:00.000Z", attempts: 8, not_before: "2026-11-24T08:15:00.000Z", error: "HTTP 503 <b>" });
  await page.route("**/api/v1/webhooks/chat", async (route) => {
    const answer = await (await route.fetch()).json();
    await route.fulfill({ json: { ...answer, webhook: { ...answer.webhook, dead_letters: 2 }, dead_letters: [letter(1), letter(2)] } });
  });
  const asked: unknown[] = [];
  await page.route("**/api/v1/webhooks/chat/replay", (route) => {
    asked.push(route.request().postDataJSON());
    return route.fulfill({ json: { messages: asked.length === 1 ? 1 : 2 } });
  });
  await open(page, service, "webhooks/chat", "responder");
  const letters = page.getByRole("region", { name: "Messages the endpoint refused" });
  await expect(letters.getByText("HTTP 503 <b>").first()).toBeVisible();
  await letters.getByRole("button", { name: "Send again" }).first().click();
  await expect(page.getByText("1 message waits for delivery again")).toBeVisible();
  await page.getByRole("button", { name: "Send all again" }).click();
  await expect(page.getByText("2 messages wait for delivery again")).toBeVisible();
  expect(asked).toEqual([{ id: "msg_1" }, {}]);
});

test("suppressions are listed with their hits, found, and ended early", async ({ page, service }) => {
  const make = async (entity: string, reason: string) => (await (await service.api("POST", "/api/v1/suppressions", { rule: "tests.token_created", entity, owner: "platform team", reason, expires_in: "1h" }, "analyst")).json()).id;
  const id = await make("user:listed@example.com", "a planned <i>integration</i>");
  await make("user:idle@example.com", "never seen");
  await service.push([tokenCreated("listed@example.com", "listed one"), tokenCreated("listed@example.com", "listed two")]);
  await service.until("two hits", async () => (await service.json("/api/v1/suppressions")).items.find((each: any) => each.id === id).hits === 2);
  await service.until("both can be searched", async () => (await service.total(`${RULE} "listed"`)) === 2);

  await open(page, service, "suppressions", "analyst");
  const listed = page.getByRole("row").filter({ hasText: "listed@example.com" });
  await expect(listed).toContainText("a planned <i>integration</i>");
  await expect(listed).toContainText("platform team");
  await expect(listed.getByRole("cell").nth(3)).toHaveText("2");
  await accessible(page);
  await page.getByRole("button", { name: /Never applied/ }).click();
  await expect(listed).toHaveCount(0);
  await expect(page.getByRole("row").filter({ hasText: "idle@example.com" })).toBeVisible();
  await page.getByRole("button", { name: /Active/ }).click();
  await page.getByLabel("Search suppressions").fill("listed integration");
  await expect(page).toHaveURL(/search=listed/);
  await expect(page.getByRole("row")).toHaveCount(2);

  // From a finding that it applied to.
  const finding = (await service.json(`/api/v1/findings?q=${encodeURIComponent(`${RULE} "listed one"`)}`)).items[0];
  await page.goto(`${service.url}/#/findings/${finding.id}`);
  await page.getByRole("link", { name: "suppressed" }).click();
  await expect(page).toHaveURL(new RegExp(`suppressions\\?id=${id}`));
  await listed.getByRole("button", { name: "End now…" }).click();
  await accessible(page, "dialog");
  await page.getByRole("dialog").getByRole("button", { name: "End it" }).click();
  await expect(listed).toContainText("ended by analyst");
  await page.goto(`${service.url}/#/suppressions?only=over`);
  await expect(listed).toBeVisible();
  await page.goto(`${service.url}/#/suppressions`);
  await expect(page.getByRole("row").filter({ hasText: "idle@example.com" })).toBeVisible();
  await expect(listed).toHaveCount(0);
});
