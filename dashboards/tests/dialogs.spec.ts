// Every dialog and menu: opened as people open it, without a violation that axe finds in light and in dark, and
// left again with Escape.
import type { Page } from "@playwright/test";
import { accessible, expect, open, test } from "./fixtures";
import { type Service, tokenCreated } from "./service";

const RULE = "rule_id:tests.token_created";

async function looked(page: Page, name: string | RegExp): Promise<void> {
  const dialog = page.getByRole("dialog", { name });
  await expect(dialog).toBeVisible();
  await accessible(page, "dialog[open]");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
}

async function finding(service: Service, words: string): Promise<any> {
  await service.until("it can be searched", async () => (await service.total(`${RULE} "${words}"`)) >= 1);
  return (await service.json(`/api/v1/findings?q=${encodeURIComponent(`${RULE} "${words}"`)}`)).items[0];
}

test("of the queue and of a finding", async ({ page, service }) => {
  await service.push([tokenCreated("dialogs@example.com", "critical dialogs")]);
  const { id } = await finding(service, "critical dialogs");
  await open(page, service, `findings?q=${encodeURIComponent(`${RULE} "critical dialogs"`)}`);
  await expect(page.locator(".finding")).toHaveCount(1);
  await page.keyboard.press("c");
  await looked(page, "Close 1 finding");
  await page.keyboard.press("?");
  await looked(page, "Keyboard");
  await page.getByRole("button", { name: "Save view" }).click();
  await looked(page, "Save this view");
  await page.keyboard.press("/");
  await page.keyboard.press("End");
  await page.keyboard.type(" se");
  await expect(page.getByRole("option", { name: /severity/ })).toBeVisible();
  await page.keyboard.press("ArrowDown");
  await accessible(page, ".search");

  await page.goto(`${service.url}/#/findings/${id}`);
  await page.getByRole("button", { name: "Suppress…" }).click();
  await looked(page, "Suppress findings like this");
  await page.locator(".facts .value button").first().click();
  await expect(page.getByRole("link", { name: "Findings with it" })).toBeVisible();
  await accessible(page, ".facts");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("link", { name: "Findings with it" })).toHaveCount(0);
});

test("of an incident, an entity and the pipeline", async ({ page, service }) => {
  const user = "dialogs2@example.com";
  await service.push([tokenCreated(user, "critical dialogs2"), "no json at all"]);
  const about = `/api/v1/incidents?entity=${encodeURIComponent(`user:${user}`)}`;
  await service.until("an incident", async () => (await service.json(about)).items.length === 1);
  const { id } = (await service.json(about)).items[0];
  await open(page, service, `incidents/${id}`);
  await page.getByRole("button", { name: "Decide…" }).click();
  await looked(page, "Decide the incident");
  await page.goto(`${service.url}/#/entities/user/${user}`);
  await page.getByRole("button", { name: "Override…" }).click();
  await looked(page, "Override the level");
  await service.until("a dead letter", async () => (await service.json("/api/v1/dead-letters?limit=1")).items.length === 1);
  await page.goto(`${service.url}/#/pipeline`);
  const letters = page.getByRole("region", { name: "Dead letters" });
  await letters.locator(".record button").first().click();
  await expect(page).toHaveURL(/letter=/);
  await looked(page, "Dead letter");
  await letters.getByRole("checkbox", { name: /Select the letter/ }).first().check();
  await page.getByRole("button", { name: /Throw away 1/ }).click();
  await looked(page, /Throw away 1 dead letter/);
});

test("of the console", async ({ page, demo }) => {
  await open(page, demo, `hunt?sql=${encodeURIComponent("SELECT user_entity, src_ip FROM authentication LIMIT 5")}`);
  await expect(page.getByText("5 rows", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Turn into rule…" }).click();
  await looked(page, "Turn this hunt into a rule");
  await page.getByRole("region", { name: "Rows" }).locator(".value button").first().click();
  await expect(page.getByRole("link", { name: "Hunt for it" })).toBeVisible();
  await accessible(page, "[aria-label=Rows]");
});
