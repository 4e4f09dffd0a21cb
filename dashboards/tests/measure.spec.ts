// Figures of README.md: the queue over a store of many findings is timed.
//   cargo run -p sluice-engine --example fill -- /tmp/filled 1000000
//   SLUICE_MEASURE=/tmp/filled npx playwright test measure
import { expect, open, test } from "./fixtures";
import { run } from "./service";

const filled = process.env.SLUICE_MEASURE ?? "";
const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
const time = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

test("the queue over many findings", async ({ page }) => {
  test.setTimeout(7_200_000);
  const service = await run(filled);
  const started = Date.now();
  const { findings } = (await service.json("/api/v1/status")).store;
  await service.until("search has all of them", async () => (await service.total("").catch(() => 0)) >= findings, 7_000_000);
  console.log(`${findings} findings, indexed after ${((Date.now() - started) / 1000).toFixed(0)} s`);

  const paints: number[] = [];
  const rows: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    await page.goto("about:blank");
    rows.push(await time(async () => {
      await open(page, service, "findings", "analyst");
      await page.locator(".finding").first().waitFor();
    }));
    paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN));
  }
  console.log(`first paint ${median(paints).toFixed(0)} ms, rows ${median(rows).toFixed(0)} ms (median of 5)`);

  // From the key to the frame that shows it.
  const keys: number[] = [];
  for (let i = 0; i < 40; i += 1) {
    keys.push(await page.evaluate((key) => new Promise<number>((done) => {
      const start = performance.now();
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    }), i % 2 === 0 ? "j" : "x"));
  }
  console.log(`key to frame ${median(keys).toFixed(0)} ms median, ${Math.max(...keys).toFixed(0)} ms most`);
  await page.keyboard.press("Escape");

  const filters: number[] = [];
  for (let i = 0; i < 6; i += 1) {
    filters.push(await time(async () => {
      const answered = page.waitForResponse(/api\/v1\/findings\?/);
      await page.getByRole("complementary", { name: "Filters" }).getByRole("button", { name: /high/i }).first().click();
      await answered;
      await page.locator(".finding").first().waitFor();
    }));
  }
  console.log(`filter to rows ${median(filters).toFixed(0)} ms, the search of the server included`);
  for (let i = 0; i < 20; i += 1) {
    await page.locator(".grid").evaluate((grid) => { grid.scrollTop = grid.scrollHeight; });
    await page.waitForTimeout(150);
  }
  const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  console.log(`${nodes} elements in the document after 20 scrolls to the end`);
  expect(nodes).toBeLessThan(3_000);
  expect(median(paints)).toBeLessThan(1_000);
  expect(median(keys)).toBeLessThan(100);
  await page.goto("about:blank");
  await service.stop();
});
