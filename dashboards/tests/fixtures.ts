// A page that fails its test on any console error, any report of the content policy, and any request
// to another origin; and services that are started once.
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";
import { demo, run, type Role, type Service } from "./service";

interface Fixtures {
  /** Console errors that a test provokes, as when the server is gone. */
  expected: RegExp[];
  guard: void;
}
interface Workers {
  service: Service;
  demo: Service;
}

export const test = base.extend<Fixtures, Workers>({
  service: [async ({}, use) => {
    const service = await run();
    await use(service);
    await service.stop();
  }, { scope: "worker" }],
  demo: [async ({}, use) => {
    const service = await demo();
    await use(service);
    await service.stop();
  }, { scope: "worker", timeout: 480_000 }],
  expected: [[], { option: true }],
  guard: [async ({ page, expected }, use) => {
    const wrong: string[] = [];
    const origins = new Set<string>();
    page.on("console", (message) => {
      // A hunt that finds no place is asked again; the browser reports the refusal all the same.
      if (/\/api\/v1\/hunts$/.test(message.location().url) && message.text().includes("429")) return;
      if (message.type() === "error" && !expected.some((e) => e.test(message.text()))) wrong.push(`console: ${message.text()}`);
    });
    page.on("response", (response) => {
      if (response.status() === 429 && response.url().endsWith("/api/v1/hunts")) return;
      if (response.status() >= 400 && !expected.some((e) => e.test(String(response.status())))) wrong.push(`response: ${response.status()} ${response.url()}`);
    });
    page.on("pageerror", (error) => wrong.push(`exception: ${error.message}`));
    page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); void dialog.dismiss(); });
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http")) origins.add(url.origin);
      else if (url.protocol !== "blob:") wrong.push(`request: ${request.url().slice(0, 200)}`);
    });
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        console.error(`content policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
      });
    });
    if (process.env.SLUICE_DIST !== undefined) await serveFrom(page, process.env.SLUICE_DIST);
    await use();
    // Pages ask again by themselves: an answer that a test gives may be on its way when the test is over.
    await page.unrouteAll({ behavior: "ignoreErrors" });
    if (origins.size > 1) wrong.push(`requests to ${[...origins].join(", ")}`);
    expect(wrong).toEqual([]);
  }, { auto: true }],
});

export { expect };

/** For work on the UI: its files from a folder, under the policy of the binary, which need not be built again. */
async function serveFrom(page: Page, folder: string): Promise<void> {
  await page.route((url) => url.pathname === "/" || url.pathname.startsWith("/assets/"), async (route) => {
    const { origin, pathname } = new URL(route.request().url());
    const own = (await route.fetch({ url: `${origin}/` })).headers();
    const policy = own["content-security-policy"] ?? "default-src 'none'";
    await route.fulfill({ path: join(folder, pathname === "/" ? "index.html" : pathname), headers: { "content-security-policy": policy } });
  });
}

/** Opens a page of the UI, signed in as a role. */
export async function open(page: Page, service: Service, address: string, role: Role = "admin"): Promise<void> {
  const token = service.tokens[role] ?? "";
  await page.addInitScript((value) => { if (location.protocol === "http:") sessionStorage.setItem("sluice-token", value); }, token);
  await page.goto(`${service.url}/#/${address}`);
}

/** No violation that axe finds, in light and in dark, on the page or in a part of it. */
export async function accessible(page: Page, part = ""): Promise<void> {
  for (const theme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme: theme });
    await expect(page.locator("html")).toHaveAttribute("data-theme", theme);
    const axe = part === "" ? new AxeBuilder({ page }) : new AxeBuilder({ page }).include(part);
    // The structure is the same in both.
    const { violations } = await (theme === "dark" ? axe.withRules(["color-contrast"]) : axe).analyze();
    const told = violations.map((v) => `${theme} ${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} ${n.failureSummary?.slice(0, 200)}`).join("\n  ")}`);
    expect(told).toEqual([]);
  }
}
