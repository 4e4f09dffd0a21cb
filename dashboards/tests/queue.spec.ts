// The queue and the finding page: search, facets, triage by keyboard, live updates, deep links.
import type { Locator } from "@playwright/test";
import { accessible, expect, open, test } from "./fixtures";
import { tokenCreated } from "./service";

const RULE = "rule_id:tests.token_created";
/** The whole title of a row, which shows long names cut. */
const titled = async (row: Locator): Promise<string> => (await row.locator(".title").getAttribute("title")) ?? "";

test("a token of the address signs in and leaves the address bar", async ({ page, demo }) => {
  await page.goto(`${demo.url}/#token=${demo.tokens.admin}`);
  await expect(page.getByRole("grid", { name: "Findings" })).toBeVisible();
  expect(page.url()).not.toContain("token");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByLabel("Token")).toBeVisible();
});

test.describe("sign-in", () => {
  test.use({ expected: [/401/] });
  test("a wrong token is refused in words", async ({ page, demo }) => {
    await page.goto(demo.url);
    await page.getByLabel("Token").fill("slc_wrong_token");
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("alert")).toContainText("unknown, revoked or expired");
    await page.getByLabel("Token").fill(demo.tokens.admin ?? "");
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("grid", { name: "Findings" })).toBeVisible();
  });
});

test("facets and search narrow the list, and the address restores it", async ({ page, demo }) => {
  await open(page, demo, "findings");
  const rows = page.locator(".finding");
  await expect(rows.first()).toBeVisible();
  await page.getByRole("complementary", { name: "Filters" }).getByRole("button", { name: /critical/i }).click();
  await expect(page).toHaveURL(/severity%3Acritical/);
  await expect(page.locator(".bar [role=status]")).toHaveText(/^1 finding/);
  await expect(rows).toHaveCount(1);
  await expect(rows.first()).toContainText("passed MFA after 8 refused pushes");
  const address = page.url();
  await page.goto("about:blank");
  await page.goto(address);
  await expect(rows).toHaveCount(1);
  await page.goBack();

  await page.goto(`${demo.url}/#/findings`);
  await expect(rows.first()).toBeVisible();
  await page.keyboard.press("/");
  await page.keyboard.type("severity:cri");
  await page.keyboard.press("ArrowDown");
  // The first takes the completion, the second searches, however soon it comes.
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/q=.*severity%3Acritical/);
});

test.describe("a wrong query", () => {
  test.use({ expected: [/400/] });
  test("is shown with its place and what to write instead", async ({ page, demo }) => {
    await open(page, demo, `findings?q=${encodeURIComponent("severity:(high")}`);
    await expect(page.getByRole("alert").first()).toContainText("^");
  });
});

test("an empty answer shows what came in meanwhile", async ({ page, demo }) => {
  await open(page, demo, `findings?q=${encodeURIComponent('"no such words anywhere"')}`);
  await expect(page.getByRole("heading", { name: "No finding matches" })).toBeVisible();
  await expect(page.getByText("What came in meanwhile")).toBeVisible();
  await expect(page.getByText(/received [\d,]+ = mapped/).first()).toBeVisible();
});

test("ten findings are triaged without the mouse, and undone", async ({ page, service }) => {
  await service.push(Array.from({ length: 12 }, (_, i) => tokenCreated(`triage${i}@example.com`, `triage ${i}`)));
  await service.until("twelve findings", async () => (await service.total(`${RULE} "triage"`)) === 12);
  await open(page, service, `findings?q=${encodeURIComponent(`${RULE} "triage" status:new`)}`, "analyst");
  const rows = page.locator(".finding");
  await expect(rows).toHaveCount(12);

  // Three together as benign.
  await page.keyboard.press("x");
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await expect(page.locator(".finding[aria-selected=true]")).toHaveCount(3);
  await page.keyboard.press("c");
  await page.keyboard.press("3");
  await page.keyboard.press("Enter");
  await expect(page.locator(".finding.done")).toHaveCount(3);
  // One as false positive, which moves on to the next; then two assigned; then four more closed.
  await page.keyboard.press("j");
  await page.keyboard.press("f");
  await expect(page.locator(".finding.done")).toHaveCount(4);
  for (let i = 0; i < 2; i += 1) {
    await page.keyboard.press("a");
    await expect(page.getByText("In progress")).toHaveCount(i + 1);
    await page.keyboard.press("j");
  }
  for (let i = 0; i < 4; i += 1) {
    await page.keyboard.press("c");
    await expect(page.getByRole("dialog")).toBeVisible();
    await page.keyboard.press("1");
    await page.keyboard.press("Enter");
    await expect(page.locator(".finding.done")).toHaveCount(5 + i);
  }
  await service.until("the search knows", async () => (await service.total(`${RULE} "triage" status:resolved`)) === 8);
  expect(await service.total(`${RULE} "triage" reason:benign`)).toBe(3);
  expect(await service.total(`${RULE} "triage" reason:false_positive`)).toBe(1);
  expect(await service.total(`${RULE} "triage" reason:true_positive`)).toBe(4);
  expect(await service.total(`${RULE} "triage" assignee:analyst status:in_progress`)).toBe(2);
  await page.keyboard.press("u");
  await expect(page.locator(".finding.done")).toHaveCount(7);
  await service.until("the search knows of the undo", async () => (await service.total(`${RULE} "triage" reason:true_positive`)) === 3);
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toBeHidden();
});

test("fifty findings are previewed, opened, judged and left again without the mouse", async ({ page, service }) => {
  await service.push(Array.from({ length: 50 }, (_, i) => tokenCreated(`many${i}@example.com`, `fifty ${i}`)));
  await service.until("fifty findings", async () => (await service.total(`${RULE} "fifty"`)) === 50);
  await open(page, service, `findings?q=${encodeURIComponent(`${RULE} "fifty"`)}`, "analyst");
  const current = page.locator(".finding.current");
  await expect(current).toHaveCount(1);
  for (let i = 0; i < 30; i += 1) await page.keyboard.press("j");
  await expect(current).toHaveAttribute("aria-rowindex", "32");

  // The preview says why, and follows the cursor.
  await page.keyboard.press("p");
  await expect(page).toHaveURL(/peek=1/);
  const preview = page.getByRole("complementary", { name: "Preview" });
  await expect(preview.getByText("Ask whoever made it.")).toBeVisible();
  await expect(preview.getByRole("heading", { level: 2 })).toHaveText(await titled(current));
  await page.keyboard.press("j");
  await expect(preview.getByRole("heading", { level: 2 })).toHaveText(await titled(current));
  await expect(preview.getByText("A rule of the browser tests.")).toBeVisible();
  await accessible(page, ".queue");

  // Opened, judged there, the next, and back to the row of that one.
  const title = await titled(current);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(title);
  await expect(page.getByText("32 of 50")).toBeVisible();
  await page.keyboard.press("f");
  await expect(page.getByText("resolved it as false positive")).toBeVisible();
  await page.keyboard.press("j");
  await expect(page.getByText("33 of 50")).toBeVisible();
  await expect(page.getByRole("heading", { level: 1 })).not.toHaveText(title);
  await page.keyboard.press("c");
  await expect(page.getByRole("dialog")).toBeVisible();
  await page.keyboard.press("3");
  await page.keyboard.press("Enter");
  await expect(page.getByText("resolved it as benign")).toBeVisible();
  const second = await page.getByRole("heading", { level: 1 }).innerText();
  await page.keyboard.press("Escape");
  await expect(page).toHaveURL(/peek=1&at=|at=.*peek=1/);
  await expect(current.locator(".title")).toHaveAttribute("title", second);
  await expect(current).toBeInViewport();
  // The browser's way back from a finding leads to its row too, also after the page was loaded anew.
  await page.keyboard.press("j");
  const third = await titled(current);
  await page.keyboard.press("Enter");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(third);
  await page.goBack();
  await expect(current.locator(".title")).toHaveAttribute("title", third);
  await page.reload();
  await expect(current.locator(".title")).toHaveAttribute("title", third);
  await page.keyboard.press("p");
  await expect(preview).toHaveCount(0);
});

test("new findings are counted and rows do not move", async ({ page, service }) => {
  await service.push([tokenCreated("live0@example.com", "live zero")]);
  await service.until("the first", async () => (await service.total(`${RULE} "live"`)) === 1);
  await open(page, service, `findings?q=${encodeURIComponent(`${RULE} "live"`)}`, "analyst");
  const rows = page.locator(".finding");
  await expect(rows).toHaveCount(1);
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  const before = await rows.first().boundingBox();
  await service.push(Array.from({ length: 12 }, (_, i) => tokenCreated(`live${i + 1}@example.com`, `live ${i + 1}`)));
  const pill = page.getByRole("button", { name: "12 new" });
  await expect(pill).toBeVisible();
  expect(await rows.first().boundingBox()).toEqual(before);
  await expect(rows).toHaveCount(1);
  // A change by somebody else shows where the row is.
  const id = (await service.json(`/api/v1/findings?q=${encodeURIComponent(`${RULE} user:live0@example.com`)}`)).items[0].id;
  await service.api("PATCH", `/api/v1/findings/${id}`, { assignee: "responder" }, "responder");
  await expect(rows.first()).toContainText("responder");
  await pill.click();
  await expect(rows).toHaveCount(13);
});

test("rows stay where they are while a file is ingested", async ({ page, service }) => {
  await service.push([tokenCreated("file@example.com", "filed first")]);
  await service.until("the first", async () => (await service.total(`${RULE} "filed"`)) === 1);
  await open(page, service, `findings?q=${encodeURIComponent(`${RULE} "filed"`)}`, "analyst");
  const rows = page.locator(".finding");
  await expect(rows).toHaveCount(1);
  await expect(page.getByText("Live", { exact: true })).toBeVisible();
  const before = await rows.first().boundingBox();
  // As `curl --data-binary @file` sends it, which is how a file is handed to a service.
  const lines = Array.from({ length: 250 }, (_, i) => tokenCreated(`file${i}@example.com`, `filed ${i}`));
  const sent = service.push(lines);
  const pill = page.getByRole("button", { name: /^\d+\+? new$/ });
  await expect(pill).toBeVisible();
  expect(await rows.first().boundingBox()).toEqual(before);
  await sent;
  await expect(page.getByRole("button", { name: "100+ new" })).toBeVisible();
  expect(await rows.first().boundingBox()).toEqual(before);
  await service.until("all are found", async () => (await service.total(`${RULE} "filed"`)) === 251);
  await page.keyboard.press("n");
  await expect(page.locator(".bar [role=status]")).toHaveText(/^251 findings/);
  await expect(pill).toHaveCount(0);
});

test("a finding says why, shows its events, and takes a comment", async ({ page, demo }) => {
  const critical = (await demo.json("/api/v1/findings?q=severity:critical%20shadow:false")).items[0];
  await open(page, demo, `findings/${critical.id}`);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(critical.title);
  await expect(page.locator(".sql .bound").first()).toBeVisible();
  await expect(page.getByRole("heading", { name: "What to do" })).toBeVisible();
  await expect(page.getByText(/Treat the account as taken over/)).toBeVisible();
  await page.getByRole("button", { name: "Show event 1 whole" }).click();
  await expect(page.getByText("class_uid").first()).toBeVisible();
  await expect(page.getByRole("heading", { name: "Related findings" })).toBeVisible();
  await page.getByPlaceholder("What you found out").fill("asked hana <b>by phone</b>");
  await page.getByRole("button", { name: "Comment", exact: true }).click();
  await expect(page.locator(".comment")).toHaveText("asked hana <b>by phone</b>");
  await page.getByRole("button", { name: "Assign to me" }).click();
  await expect(page.getByText("took it")).toBeVisible();
  await page.getByRole("button", { name: "Close…" }).click();
  await page.keyboard.press("1");
  await page.keyboard.press("Enter");
  await expect(page.getByText("resolved it as true positive")).toBeVisible();
  await page.getByRole("button", { name: "Reopen" }).click();
  await expect(page.getByText("reopened it")).toBeVisible();
});

test.describe("a change by somebody else", () => {
  test.use({ expected: [/412/] });
  test("is not overwritten", async ({ page, service }) => {
    await service.push([tokenCreated("conflict@example.com", "conflict")]);
    await service.until("it is found", async () => (await service.total(`${RULE} "conflict"`)) === 1);
    const finding = (await service.json(`/api/v1/findings?q=${encodeURIComponent(`${RULE} "conflict"`)}`)).items[0];
    await open(page, service, `findings/${finding.id}`, "analyst");
    await expect(page.getByRole("button", { name: "Assign to me" })).toBeVisible();
    await service.api("PATCH", `/api/v1/findings/${finding.id}`, { assignee: "responder" }, "responder");
    await page.getByRole("button", { name: "Assign to me" }).click();
    await expect(page.getByText("Somebody else changed it meanwhile")).toBeVisible();
    await expect(page.getByText("assigned it to").or(page.getByText("took it"))).toBeVisible();
  });
});

test("views are addresses, and one's own are kept", async ({ page, demo }) => {
  await open(page, demo, "findings");
  await page.getByRole("button", { name: "Critical and high" }).click();
  await expect(page).toHaveURL(/severity/);
  await page.getByLabel("Search findings").fill("rule_id:network.port_scan");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Save view" }).click();
  await page.getByLabel("Name").fill("Scans");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("button", { name: "All", exact: true }).click();
  await page.getByRole("button", { name: "Scans", exact: true }).click();
  await expect(page).toHaveURL(/network.port_scan/);
  await page.reload();
  await expect(page.getByRole("button", { name: "Scans", exact: true })).toHaveAttribute("aria-pressed", "true");
});
