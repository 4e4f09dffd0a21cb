// Every page: with data, without, when the server fails, without permission; no violation that axe
// finds, in light and in dark.
import type { Page } from "@playwright/test";
import { accessible, expect, open, test } from "./fixtures";
import type { Role, Service } from "./service";

interface Case {
  name: string;
  address: string;
  ready: (page: Page) => Promise<void>;
  fails: string;
  refused: Role;
  /** The page needs what the demo has not: receivers. */
  service?: true;
}

const visible = (text: string | RegExp) => async (page: Page) => expect(page.getByText(text).filter({ visible: true }).first()).toBeVisible();
const HUNT = encodeURIComponent("SELECT user_entity, count(*) AS n FROM authentication GROUP BY 1 ORDER BY n DESC");

const CASES: Case[] = [
  { name: "queue", address: "findings", ready: visible("passed MFA after 8 refused pushes"), fails: "findings", refused: "metrics" },
  { name: "incidents", address: "incidents", ready: visible("hana.haas@example.com"), fails: "incidents", refused: "ingest" },
  { name: "entities", address: "entities", ready: visible("hana.haas@example.com"), fails: "entities", refused: "rule_author" },
  { name: "rules", address: "rules", ready: visible("identity.mfa_fatigue_success"), fails: "rules", refused: "ingest" },
  { name: "rule", address: "rules/identity.mfa_fatigue_success", ready: async (page) => {
    await expect(page.getByRole("heading", { name: "MFA push accepted after refusals" })).toBeVisible();
    await expect(page.getByRole("img", { name: /Findings of this rule a day/ })).toBeVisible();
  }, fails: "rules", refused: "ingest" },
  { name: "coverage", address: "coverage?id=T1621", ready: visible("Multi-Factor Authentication Request Generation"), fails: "attack", refused: "ingest" },
  { name: "hunt", address: `hunt?sql=${HUNT}`, ready: visible(/^\d+ rows$/), fails: "hunts", refused: "viewer" },
  { name: "flows", address: "flows?split=now-1h", ready: async (page) => expect(page.locator("td button").first()).toBeVisible(), fails: "hunts", refused: "viewer" },
  { name: "pipeline", address: "pipeline", ready: async (page) => {
    await expect(page.getByText("adds up").first()).toBeVisible();
    await expect(page.getByRole("heading", { name: "What rules cost" })).toBeVisible();
  }, fails: "sources", refused: "metrics" },
  { name: "entity", address: "entities/user/hana.haas@example.com", ready: async (page) => {
    await expect(page.getByRole("img", { name: /Events by weekday and hour/ })).toBeVisible();
    await expect(page.getByRole("heading", { name: "Addresses" })).toBeVisible();
    await expect(page.getByRole("img", { name: /^Risk of hana.haas/ })).toBeVisible();
  }, fails: "findings", refused: "ingest" },
  // A page of an id says that it may not be seen before it asks whether there is such a thing.
  { name: "finding", address: "findings/00000000000000000000000000000000", ready: visible("Not found"), fails: "findings", refused: "ingest" },
  { name: "incident", address: "incidents/00000000000000000000000000000000", ready: visible("Not found"), fails: "incidents", refused: "ingest" },
  { name: "suppressions", address: "suppressions", ready: visible("Nothing is suppressed"), fails: "suppressions", refused: "ingest" },
  { name: "signals", address: "signals", ready: async (page) => expect(page.getByRole("link", { name: "careful" })).toBeVisible(), fails: "signals", refused: "viewer", service: true },
  { name: "stream", address: "signals/00000000000000000000000000000000", ready: visible("Not found"), fails: "signals", refused: "viewer", service: true },
  // The oldest records: what other tests did since fills pages of its own.
  { name: "audit", address: "audit?upto=20", ready: visible("token.create"), fails: "audit", refused: "analyst", service: true },
  { name: "webhooks", address: "webhooks", ready: async (page) => expect(page.getByRole("link", { name: "chat" })).toBeVisible(), fails: "webhooks", refused: "viewer", service: true },
  { name: "webhook", address: "webhooks/chat", ready: visible("Its endpoint refused nothing."), fails: "webhooks", refused: "viewer", service: true },
];
/** Shown with data elsewhere: an address of an id needs one. */
const IDS = new Set(["finding", "incident", "stream"]);

for (const { name, address, ready, ...more } of CASES.filter((each) => !IDS.has(each.name))) {
  test(`${name} is shown and accessible in light and dark`, async ({ page, demo, service }) => {
    await open(page, more.service ? service : demo, address);
    await ready(page);
    await accessible(page);
  });
}

for (const { name, address, refused } of CASES) {
  test(`${name} says that a role may not see it`, async ({ page, service }) => {
    await open(page, service, address, refused);
    await expect(page.getByRole("heading", { name: "No permission" })).toBeVisible();
    await expect(page.getByText(`the role ${refused}`)).toBeVisible();
  });
}

test.describe("a failing server", () => {
  test.use({ expected: [/500/] });
  for (const { name, address, fails, ...more } of CASES.filter((each) => !IDS.has(each.name))) {
    test(`${name} says so and can be tried again`, async ({ page, demo, service }) => {
      let broken = true;
      await page.route(new RegExp(`/api/v1/${fails}(\\?|/|$)`), async (route) => {
        if (!broken) return route.continue();
        const body = JSON.stringify({ type: "urn:sluice:problem:internal", title: "a defect of this program", status: 500, detail: "the request hit a defect; the log has it", instance: "urn:sluice:request:x", code: "internal" });
        return route.fulfill({ status: 500, contentType: "application/problem+json", body });
      });
      await open(page, more.service ? service : demo, address);
      await expect(page.getByText("the request hit a defect").first()).toBeVisible();
      broken = false;
      const again = page.getByRole("button", { name: "Try again" });
      // A page of several parts has a button for each.
      if (await again.count() > 0) {
        await expect(async () => {
          if (await again.count() > 0) await again.first().click({ timeout: 2_000 });
          await expect(page.getByText("the request hit a defect")).toHaveCount(0, { timeout: 2_000 });
        }).toPass();
      }
    });
  }
});

/** Pages with nothing to show, and what they say then. */
const EMPTY: readonly (readonly [string, string])[] = [
  ["findings?q=%22nothing%20at%20all%22", "No finding matches"],
  ["incidents?entity=user%3Anobody%40example.com", "No incident matches"],
  ["entities?search=nobody.at.all", "No entity matches"],
  ["entities/user/nobody.at.all@example.com", "Nothing was found about it"],
  ["rules?search=nothing.at.all", "No rule matches"],
  ["hunt?sql=SELECT%20*%20FROM%20dns", "No row"],
  ["flows?from=now-1s", "No network events"],
  ["suppressions", "Nothing is suppressed"],
  ["pipeline", "No dead letters"],
  ["audit?search=nothing.at.all", "None of these records matches"],
];
for (const [address, says] of EMPTY) {
  test(`${address} says that there is nothing`, async ({ page, demo }) => {
    await open(page, demo, address);
    await expect(page.getByRole("heading", { name: says })).toBeVisible();
  });
}

/** Screens that analysts have: a phone, half of a small one, a wall. */
const SCREENS = [[390, 844], [820, 1180], [3840, 2160]] as const;
async function fits(page: Page, of: Service, width: number, height: number, cases: Case[]): Promise<void> {
  test.slow();
  await page.setViewportSize({ width, height });
  for (const { name, address, ready } of cases.filter((each) => !IDS.has(each.name))) {
    await open(page, of, address);
    await ready(page);
    const beyond = () => page.evaluate(() => [document.documentElement, document.querySelector("main")].map((e) => (e === null ? 0 : e.scrollWidth - e.clientWidth)));
    await expect.poll(beyond, { message: name }).toEqual([0, 0]);
  }
}
for (const [width, height] of SCREENS) {
  test(`no page of data is wider than a screen of ${width} by ${height}`, async ({ page, demo }) => fits(page, demo, width, height, CASES.filter((each) => each.service === undefined)));
  test(`no page of receivers is wider than a screen of ${width} by ${height}`, async ({ page, service }) => fits(page, service, width, height, CASES.filter((each) => each.service)));
}

test("on a phone the filters of the queue are behind a button", async ({ page, demo }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await open(page, demo, "findings");
  const filters = page.getByRole("complementary", { name: "Filters" });
  await expect(page.locator(".finding").first()).toBeVisible();
  await expect(filters).toBeHidden();
  await page.getByRole("button", { name: "Filters" }).click();
  await filters.getByRole("button", { name: /critical/i }).click();
  await expect(page.locator(".finding")).toHaveCount(1);
  await page.getByRole("button", { name: "Filters" }).click();
  await expect(filters).toBeHidden();
  await accessible(page);
});

test.describe("what is not there", () => {
  test.use({ expected: [/404/] });
  test("is said, with what was meant", async ({ page, demo }) => {
    await open(page, demo, "rules/identity.mfa_fatigu");
    await expect(page.getByText("did you mean identity.mfa_fatigue?")).toBeVisible();
    await page.goto(`${demo.url}/#/findings/00000000000000000000000000000000`);
    await expect(page.getByRole("heading", { name: "Not found" })).toBeVisible();
    await page.goto(`${demo.url}/#/incidents/00000000000000000000000000000000`);
    await expect(page.getByRole("heading", { name: "Not found" })).toBeVisible();
    await page.goto(`${demo.url}/#/signals`);
    await expect(page.getByRole("heading", { name: "Signals are not configured" })).toBeVisible();
    await page.goto(`${demo.url}/#/webhooks`);
    await expect(page.getByRole("heading", { name: "No webhook is configured" })).toBeVisible();
    await page.goto(`${demo.url}/#/nothing`);
    await expect(page.getByText("There is no such page")).toBeVisible();
  });
});

test("a role without findings begins where it may look", async ({ page, service }) => {
  await open(page, service, "", "auditor");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Audit");
  await expect(page.getByRole("link", { name: "Findings" })).toHaveCount(0);
});

test("a viewer sees findings and is offered nothing that changes them", async ({ page, service }) => {
  await open(page, service, "findings?q=", "viewer");
  await expect(page.getByRole("link", { name: "Rules" })).toBeVisible();
  for (const name of ["Hunt", "Flow map"]) await expect(page.getByRole("link", { name })).toHaveCount(0);
  await expect(page.getByRole("checkbox")).toHaveCount(0);
  await page.keyboard.press("f");
  await page.keyboard.press("c");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await page.goto(`${service.url}/#/rules`);
  await expect(page.getByText("identity.mfa_fatigue", { exact: true })).toBeVisible();
  await expect(page.getByRole("button", { name: "Read files again" })).toHaveCount(0);
});

test.describe("SQL that is wrong", () => {
  test.use({ expected: [/400/] });
  test("is shown with a caret, and what is right becomes a rule and a CSV file", async ({ page, demo }) => {
    await open(page, demo, `hunt?sql=${encodeURIComponent("SELECT user_entty\nFROM authentication")}`);
    await expect(page.locator(".caret")).toContainText("^");
    await page.goto(`${demo.url}/#/hunt?sql=${HUNT}`);
    await page.reload();
    await visible(/^\d+ rows$/)(page);
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "CSV" }).click();
    expect((await saved).suggestedFilename()).toBe("hunt.csv");
    await page.getByRole("button", { name: "Turn into rule…" }).click();
    await page.getByLabel("Title").fill('Many "sign-ins"');
    await expect(page.getByRole("dialog")).toContainText("entity: {user_entity: user}");
    await expect(page.getByRole("dialog")).toContainText('title: "Many \\"sign-ins\\""');
    await expect(page.getByRole("dialog")).toContainText("needs a window");
  });
});

test("SQL is typed, completed and run by keyboard", async ({ page, demo }) => {
  await open(page, demo, "hunt");
  const editor = page.getByLabel("SQL", { exact: true });
  await editor.click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("SELECT count(*) AS n FROM authentica");
  await expect(page.getByRole("option", { name: /authentication/ })).toBeVisible();
  // The list takes no Enter that may have been meant for the line, for its first 75 ms.
  await page.waitForTimeout(150);
  await page.keyboard.press("Enter");
  await page.keyboard.press("ControlOrMeta+Enter");
  await expect(page.getByText("1 row", { exact: true })).toBeVisible();
});

test("pairs that were never seen before are marked without a comparison", async ({ page, demo }) => {
  const hunt = await (await demo.api("POST", "/api/v1/hunts", { sql: "SELECT min(time) AS low, max(time) AS high FROM network" })).json();
  const [low, high] = [Date.parse(hunt.rows[0].low), Date.parse(hunt.rows[0].high)];
  await open(page, demo, "flows");
  const cells = page.getByRole("region", { name: "Segment to segment" }).locator("td button");
  await expect(cells.first()).toBeVisible();
  await expect(page.getByRole("status").filter({ hasText: "never seen before" })).toContainText("the newest quarter of the time shown");
  // The replay's pairs are old ones by its end: the answer of the service is given one that is not.
  await page.route("**/api/v1/hunts", async (route) => {
    const answer = await (await route.fetch()).json();
    const row = answer.rows?.[0];
    if (row?.flows !== undefined) row.first_seen = new Date(high - (high - low) / 8).toISOString();
    await route.fulfill({ json: answer });
  });
  await page.reload();
  await expect(page.locator("td button.fresh").first()).toBeVisible();
  await expect(page.getByText("1 pair was never seen before").or(page.getByText(/\d+ pairs were never seen before/))).toBeVisible();
  await page.getByRole("button", { name: "Show only the new ones" }).click();
  await expect(page).toHaveURL(/only=new/);
  await expect(page.locator("td button.fresh").first()).toBeVisible();
  for (const cell of await cells.all()) await expect(cell).toHaveClass(/fresh/);
  await page.getByRole("button", { name: "Show all" }).click();
  await expect(page).not.toHaveURL(/only=new/);
});

test("a cell of the flow map opens its hosts", async ({ page, demo }) => {
  await open(page, demo, "flows");
  await page.locator("td button").first().click();
  await expect(page.getByRole("region", { name: "Host to host" })).toBeVisible();
  await page.getByRole("button", { name: "Table" }).click();
  await expect(page.getByRole("columnheader", { name: "dst_port" })).toBeVisible();
});

test("what is new inside a cell is marked when two periods are compared", async ({ page, demo }) => {
  await open(page, demo, "flows?split=now-1h");
  await page.locator("td button").first().click();
  await expect(page.getByRole("region", { name: "Host to host" })).toBeVisible();
  // How much of the replay lies before the last hour depends on how far it has come.
  await expect(page.getByRole("region", { name: "Host to host" }).locator("td button").first()).toHaveAttribute("aria-label", /: [\d,]+ flows?, [\d,]+ before/);
});

test("keys lead to pages, and the help tells them", async ({ page, demo }) => {
  await open(page, demo, "rules");
  await expect(page.getByText("identity.mfa_fatigue", { exact: true })).toBeVisible();
  await page.keyboard.press("g");
  await page.keyboard.press("i");
  await expect(page).toHaveURL(/#\/incidents/);
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard" })).toBeVisible();
  // What is typed in a dialog or a field is no command.
  await page.keyboard.press("g");
  await page.keyboard.press("r");
  await expect(page).toHaveURL(/#\/incidents/);
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("e");
  await expect(page).toHaveURL(/#\/entities/);
  await page.getByLabel("Search entities").fill("gigi");
  await expect(page).toHaveURL(/#\/entities\?search=gigi/);
});

test("times switch between the browser's zone and UTC", async ({ page, demo }) => {
  await open(page, demo, "pipeline");
  const zone = page.getByRole("button", { name: /Berlin, UTC/ });
  await expect(zone).toBeVisible();
  await zone.click();
  await expect(page.getByRole("button", { name: "UTC", exact: true })).toHaveAttribute("aria-pressed", "true");
});
