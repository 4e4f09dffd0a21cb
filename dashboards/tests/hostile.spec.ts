// What attackers write is shown as text, everywhere: in titles, entities, values, dead letters, SQL.
import type { Page } from "@playwright/test";
import { expect, open, test } from "./fixtures";
import { type Service, tokenCreated } from "./service";

const CORPUS = [
  "<img src=x onerror=alert(1)>",
  "<script>alert(2)</script>",
  "\"><svg onload=alert(3)>",
  "javascript:alert(4)",
  "'><iframe srcdoc='<script>alert(5)</script>'>",
  "{{constructor.constructor('alert(6)')()}}",
  "</title><script>alert(7)</script>",
  "<a href=javascript:alert(8)>x</a>",
  "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(9)>",
  "\u202Egnp.exe \u0000\u001b[31m",
  "https://evil.example/?q=<b>",
  "a".repeat(3_000),
];

/** Nothing in the document but what the UI put there. */
async function clean(page: Page): Promise<void> {
  const strange = await page.evaluate(() => [...document.querySelectorAll("img, iframe, object, embed, form[action], script:not([src^='/assets/']), a[href^='javascript'], svg[onload], math")].map((e) => e.outerHTML.slice(0, 100)));
  expect(strange).toEqual([]);
}

/** Dead letters that are kept. */
const letters = async (service: Service): Promise<number> => (await service.json("/api/v1/status")).store.dead_letters;

test("a corpus of hostile text stays text on every page", async ({ page, service }) => {
  test.slow();
  const kept = await letters(service);
  await service.push(CORPUS.map((text, i) => tokenCreated(`corpus ${i}${text}`.slice(0, 400), text, { agent: text })));
  // A request of which nothing can be read is refused whole: a good record makes it an ordinary one.
  await service.push([tokenCreated("good@example.com", "good"), ...CORPUS.map((text) => `not json ${text.replaceAll("\n", " ")}`)]);
  const q = 'rule_id:tests.token_created "corpus"';
  await service.until("all are found", async () => (await service.total(q)) === CORPUS.length);
  await service.until("letters are kept", async () => (await letters(service)) === kept + CORPUS.length);

  await open(page, service, `findings?q=${encodeURIComponent(q)}`);
  await expect(page.getByText("<script>alert(2)</script>").first()).toBeVisible();
  await clean(page);

  const { items } = await service.json(`/api/v1/findings?limit=100&q=${encodeURIComponent(q)}`);
  const hostile = items.filter((item: { title: string }) => /[<{:]/.test(item.title));
  expect(hostile.length).toBeGreaterThanOrEqual(9);
  for (const item of hostile) {
    await page.goto(`${service.url}/#/findings/${item.id}`);
    await expect(page.getByRole("heading", { name: "Contributing events" })).toBeVisible();
    await page.getByRole("button", { name: "Show event 1 whole" }).click();
    await clean(page);
    const user = item.entities.find((e: { kind: string }) => e.kind === "user");
    await page.goto(`${service.url}/#/entities/user/${encodeURIComponent(user.id)}`);
    await expect(page.getByRole("heading", { name: "Findings", exact: true })).toBeVisible();
    await expect(page.locator(".list a").first()).toBeVisible();
    await clean(page);
  }
  await page.goto(`${service.url}/#/hunt?sql=${encodeURIComponent("SELECT user_entity, resource_name, user_agent AS \"<b>agent</b>\" FROM api_activity")}`);
  await expect(page.getByRole("region", { name: "Rows" })).toBeVisible();
  await clean(page);
  await page.goto(`${service.url}/#/pipeline`);
  await expect(page.getByRole("region", { name: "Dead letters" })).toBeVisible();
  await page.getByRole("region", { name: "Dead letters" }).locator(".record button").first().click();
  await expect(page.getByRole("dialog", { name: "Dead letter" })).toBeVisible();
  await clean(page);
});

test("incidents, remarks, reasons of overrides and suppressions are text", async ({ page, service }) => {
  test.slow();
  const texts = CORPUS.slice(0, 9);
  await service.push(texts.map((text, i) => tokenCreated(`incident${i}${text}`, `critical ${text}`)));
  let incidents: any[] = [];
  await service.until("each opened an incident", async () => {
    incidents = (await service.json("/api/v1/incidents?status=new&limit=200")).items.filter((each: any) => each.entity.kind === "user" && each.entity.id.startsWith("incident"));
    return incidents.length >= texts.length;
  });
  const remarks = texts.join("\n");
  await open(page, service, "incidents");
  await expect(page.locator("td.what").first()).toBeVisible();
  await clean(page);
  for (const { id, entity } of incidents.slice(0, texts.length)) {
    expect((await service.api("PATCH", `/api/v1/incidents/${id}`, { assignee: texts[1], comment: remarks })).status).toBe(200);
    const path = `/api/v1/risk/user/${encodeURIComponent(entity.id)}/override`;
    expect((await service.api("PUT", path, { level: "medium", reason: remarks, expires_in: "1h" })).status).toBe(200);
    expect((await service.api("POST", "/api/v1/suppressions", { entity: `user:${entity.id}`, reason: remarks, expires_in: "1h" })).status).toBe(201);
    await page.goto(`${service.url}/#/incidents/${id}`);
    await expect(page.locator(".comment")).toHaveText(remarks);
    await expect(page.locator("ol.list li").first()).toBeVisible();
    await page.getByRole("button", { name: "Decide…" }).click();
    await page.keyboard.press("Escape");
    await clean(page);
    await page.goto(`${service.url}/#/entities/user/${encodeURIComponent(entity.id)}`);
    await expect(page.getByText("set the level to medium")).toBeVisible();
    await expect(page.getByRole("region", { name: "Signals" }).getByText("set by a person")).toBeVisible();
    await expect(page.getByRole("img", { name: /^Risk of incident/ })).toBeVisible();
    await clean(page);
  }
  const own = 'rule_id:tests.token_created severity:critical title:alert';
  await service.until("they can be searched", async () => (await service.total(own)) >= 5);
  const { items } = await service.json(`/api/v1/findings?limit=20&q=${encodeURIComponent(own)}`);
  for (const { id } of items.slice(0, 5)) {
    await page.goto(`${service.url}/#/findings/${id}`);
    await page.getByRole("button", { name: "Suppress…" }).click();
    await expect(page.getByRole("dialog", { name: "Suppress findings like this" })).toBeVisible();
    await clean(page);
    await page.keyboard.press("Escape");
  }
  await page.goto(`${service.url}/#/entities?search=incident`);
  await expect(page.locator("td.who").first()).toBeVisible();
  await clean(page);
});

test("words of rules and lookups are text", async ({ page, service }) => {
  await service.push([tokenCreated("looked.up@example.com", "known")]);
  await service.until("it is found", async () => (await service.total("rule_id:tests.hostile")) >= 1);
  const { id } = (await service.json("/api/v1/findings?q=rule_id:tests.hostile")).items[0];
  await open(page, service, "findings?q=rule_id:tests.hostile&peek=1");
  await expect(page.getByRole("complementary", { name: "Preview" }).getByText("alert(21)")).toBeVisible();
  await clean(page);
  await page.goto(`${service.url}/#/findings/${id}`);
  await expect(page.getByText("<iframe srcdoc='<script>alert(25)</script>'>").first()).toBeVisible();
  await expect(page.getByText("<a href=javascript:alert(22)>x</a>").first()).toBeVisible();
  await clean(page);
  for (const address of ["rules", "rules/tests.hostile"]) {
    await page.goto(`${service.url}/#/${address}`);
    await expect(page.getByText("alert(20)").first()).toBeVisible();
    await clean(page);
  }
});

test("whatever is typed into a field is text", async ({ page, service }) => {
  const texts = CORPUS.slice(0, 9);
  await service.push([tokenCreated("typed@example.com", "critical typed")]);
  const about = `/api/v1/incidents?entity=${encodeURIComponent("user:typed@example.com")}`;
  await service.until("an incident", async () => (await service.json(about)).items.length === 1);
  await service.until("it can be searched", async () => (await service.total('rule_id:tests.token_created "critical typed"')) === 1);
  const finding = (await service.json(`/api/v1/findings?q=${encodeURIComponent('rule_id:tests.token_created "critical typed"')}`)).items[0];
  const incident = (await service.json(about)).items[0];
  const all = texts.join("\n");
  for (const [page_, label] of [["rules", "Search rules"], ["entities", "Search entities"], ["suppressions", "Search suppressions"], ["hunt", "Search the schema"]] as const) {
    await open(page, service, page_);
    for (const text of texts) await page.getByLabel(label).fill(text);
    await clean(page);
  }
  // The remark of a finding, the reason and owner of a suppression, the comment of its end.
  await page.goto(`${service.url}/#/findings/${finding.id}`);
  await page.getByPlaceholder("What you found out").fill(all);
  await page.getByRole("button", { name: "Comment", exact: true }).click();
  await expect(page.locator(".comment").first()).toHaveText(all);
  await page.getByRole("button", { name: "Suppress…" }).click();
  await page.getByLabel("Who answers for it").fill(texts[0] ?? "");
  await page.getByLabel("Reason").fill(all);
  await page.getByRole("dialog").getByRole("button", { name: "Suppress", exact: true }).click();
  await expect(page.getByText("Suppressed from now on")).toBeVisible();
  await page.getByRole("button", { name: "Close…" }).click();
  await page.keyboard.press("2");
  await page.getByLabel("Comment (optional)").fill(all);
  await page.getByRole("button", { name: "Close 1 finding" }).click();
  await expect(page.locator(".comment")).toHaveCount(2);
  await clean(page);
  await page.goto(`${service.url}/#/suppressions`);
  await expect(page.getByText("<script>alert(2)</script>").first()).toBeVisible();
  await clean(page);
  await page.goto(`${service.url}/#/incidents/${incident.id}`);
  await page.getByRole("button", { name: "Decide…" }).click();
  await page.getByRole("radio", { name: /^True positive/ }).check();
  await page.getByLabel("Comment (optional)").fill(all);
  await page.getByRole("button", { name: "Decide", exact: true }).click();
  await expect(page.locator(".comment").first()).toHaveText(all);
  await clean(page);
  await page.goto(`${service.url}/#/entities/user/typed@example.com`);
  await page.getByRole("button", { name: "Override…" }).click();
  await page.getByLabel("Reason").fill(all);
  await page.getByRole("dialog").getByRole("button", { name: "Override", exact: true }).click();
  await expect(page.getByText(/set the level to high/)).toBeVisible();
  await clean(page);
  await page.goto(`${service.url}/#/signals?action=raised`);
  await expect(page.getByText("<script>alert(2)</script>").first()).toBeVisible();
  await clean(page);
  // The name of a view, and the words of a rule made of a hunt.
  await page.goto(`${service.url}/#/findings?q=typed`);
  await page.getByRole("button", { name: "Save view" }).click();
  await page.getByLabel("Name").fill(texts[0] ?? "");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await expect(page.getByRole("group", { name: "Views" }).getByText(texts[0] ?? "")).toBeVisible();
  await page.goto(`${service.url}/#/hunt?sql=${encodeURIComponent("SELECT user_entity FROM api_activity LIMIT 1")}`);
  await page.getByRole("button", { name: "Turn into rule…" }).click();
  await page.getByLabel("Title").fill(texts[1] ?? "");
  await expect(page.getByRole("dialog")).toContainText("<script>alert(2)</script>");
  await clean(page);
});

test.describe("hostile text in fields and addresses", () => {
  test.use({ expected: [/400|404/] });
  test("is text too", async ({ page, service }) => {
    await open(page, service, "findings");
    for (const text of CORPUS.slice(0, 9)) {
      await page.goto(`${service.url}/#/findings?q=${encodeURIComponent(text)}`);
      await expect(page.getByLabel("Search findings")).toHaveValue(text);
      await page.goto(`${service.url}/#/${encodeURIComponent(text)}`);
      await page.goto(`${service.url}/#/rules/${encodeURIComponent(text)}`);
      await expect(page.getByRole("heading", { name: "Not found" })).toBeVisible();
      await page.goto(`${service.url}/#/entities/${encodeURIComponent(text)}/${encodeURIComponent(text)}`);
    }
    await page.goto(`${service.url}/#/%zz/%00`);
    await expect(page.getByText("There is no such page")).toBeVisible();
  });
});

test("dead letters are viewed, replayed and thrown away by who may", async ({ page, service }) => {
  const kept = await letters(service);
  await service.push([tokenCreated("good@example.com", "good"), "broken {", "broken ["]);
  await service.until("letters are kept", async () => (await letters(service)) === kept + 2);
  await open(page, service, "pipeline", "analyst");
  const list = page.getByRole("region", { name: "Dead letters" });
  await expect(list).toBeVisible();
  await expect(list.getByRole("checkbox")).toHaveCount(0);
  await page.evaluate((token) => sessionStorage.setItem("sluice-token", token), service.tokens.admin ?? "");
  await open(page, service, "pipeline", "admin");
  await page.reload();
  await list.getByRole("checkbox", { name: /Select the letter/ }).first().check();
  await page.getByRole("button", { name: /Replay 1/ }).click();
  // Of what tests push nothing becomes a row that was a letter.
  await expect(page.getByText(/failed again/).first()).toBeVisible();
  await list.getByRole("checkbox", { name: /Select the letter/ }).first().check();
  await page.getByRole("button", { name: /Throw away 1/ }).click();
  await page.getByRole("button", { name: "Throw away", exact: true }).click();
  await expect(page.getByText("1 letter thrown away")).toBeVisible();
  await service.until("one less is kept", async () => (await letters(service)) === kept + 1);
});
