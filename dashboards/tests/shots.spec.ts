// Screenshots of every page, light and dark, to be looked at: SLUICE_SHOTS=folder npx playwright test shots
import type { Page } from "@playwright/test";
import { expect, open, test } from "./fixtures";
import { tokenCreated } from "./service";

const folder = process.env.SLUICE_SHOTS ?? "";
const HUNT = encodeURIComponent("SELECT user_entity, count(*) AS failures, count(DISTINCT src_ip) AS sources, max(time) AS last\nFROM authentication\nWHERE status = 'Failure'\nGROUP BY user_entity\nORDER BY failures DESC");
const PAGES: Record<string, string> = {
  queue: "findings", incidents: "incidents?status=all", entities: "entities", rules: "rules", rule: "rules/identity.mfa_fatigue_success", coverage: "coverage", hunt: `hunt?sql=${HUNT}`,
  flows: "flows", pipeline: "pipeline", entity: "entities/user/hana.haas@example.com", peek: "findings?peek=1", suppressions: "suppressions", empty: "findings?q=%22nothing%20at%20all%22",
};

/** All of the page is there: nothing loads, and nothing has begun to for a while. */
async function loaded(page: Page): Promise<void> {
  await expect(page.locator("h1").first()).toBeAttached();
  await expect(async () => {
    for (let i = 0; i < 4; i += 1) {
      await expect(page.locator(".loading")).toHaveCount(0, { timeout: 1 });
      await page.waitForTimeout(150);
    }
  }).toPass({ timeout: 30_000 });
}

for (const theme of ["light", "dark"] as const) {
  test(`screenshots in ${theme}`, async ({ page, demo }) => {
    test.setTimeout(180_000);
    // A page scrolls inside: as much of it as it takes.
    await page.setViewportSize({ width: 1440, height: 1500 });
    await page.emulateMedia({ colorScheme: theme });
    const finding = (await demo.json("/api/v1/findings?q=severity:critical%20shadow:false")).items[0];
    const incident = (await demo.json("/api/v1/incidents?entity=user:hana.haas@example.com")).items[0];
    const some = { ...PAGES, finding: `findings/${finding.id}`, incident: `incidents/${incident.id}` };
    for (const [name, address] of Object.entries(some)) {
      await open(page, demo, address);
      await expect(page.locator("main")).toBeVisible();
      await loaded(page);
      await page.screenshot({ path: `${folder}/${name}-${theme}.png` });
    }
    await open(page, demo, "findings");
    await page.locator(".finding").first().waitFor();
    for (const key of ["x", "j", "x", "j", "x", "c"]) await page.keyboard.press(key);
    await page.screenshot({ path: `${folder}/close-${theme}.png` });
    await page.goto("about:blank");
    await page.addInitScript(() => { if (location.protocol === "http:") sessionStorage.clear(); });
    await page.goto(demo.url);
    await page.screenshot({ path: `${folder}/login-${theme}.png` });
  });
}

for (const [name, width, height] of [["phone", 390, 844], ["wall", 3840, 2160]] as const) {
  test(`screenshots on a ${name}`, async ({ page, demo }) => {
    test.setTimeout(180_000);
    await page.setViewportSize({ width, height });
    for (const [each, address] of Object.entries(PAGES)) {
      await open(page, demo, address);
      await loaded(page);
      await page.screenshot({ path: `${folder}/${name}-${each}.png` });
    }
  });
}

test("screenshots of what leaves the service", async ({ page, service }) => {
  test.setTimeout(300_000);
  const users = ["ann.adler@example.com", "bo.bakker@example.com", "a.very.long.name.of.somebody.who.has.several@subsidiary.of.a.company.example.com"];
  await service.push(users.flatMap((user) => [tokenCreated(user, "critical backup"), tokenCreated(user, "second")]));
  for (const user of users) {
    await service.api("POST", "/api/v1/suppressions", { rule: "tests.token_created", entity: `user:${user}`, owner: "platform team", reason: "Planned migration of the backup jobs, ticket 4711", expires_in: "2d" }, "analyst");
  }
  await service.push(users.map((user) => tokenCreated(user, "third")));
  await service.until("signals wait", async () => {
    const { streams } = await service.json("/api/v1/signals");
    return streams.every((stream: any) => stream.queued + stream.dead_letters > 0 || stream.delivered_at !== null);
  });
  const { streams } = await service.json("/api/v1/signals");
  const careful = streams.find((stream: any) => stream.receiver === "careful").id;
  const pages = { signals: "signals", stream: `signals/${careful}`, webhooks: "webhooks", webhook: "webhooks/gone", suppressions: "suppressions", audit: "audit", receivers: "pipeline", told: `entities/user/${users[0]}` };
  for (const [theme, width, height] of [["light", 1280, 900], ["dark", 1440, 1100]] as const) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: theme });
    for (const [name, address] of Object.entries(pages)) {
      await open(page, service, address);
      await loaded(page);
      await page.screenshot({ path: `${folder}/service-${name}-${theme}.png` });
    }
  }
});
