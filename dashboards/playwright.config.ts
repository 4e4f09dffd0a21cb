// Browser tests against the real binary. `SLUICE_BIN` names it; `CHROMIUM` a browser other than
// Debian's.
import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tests",
  testMatch: process.env.SLUICE_SHUFFLE === undefined ? "**/*.spec.ts" : "**/shuffled.ts",
  // Figures and screenshots are made when they are asked for; they are not tests.
  testIgnore: [
    ...(process.env.SLUICE_MEASURE === undefined ? ["**/measure.spec.ts"] : []),
    ...(process.env.SLUICE_SHOTS === undefined ? ["**/shots.spec.ts"] : []),
  ],
  // One service for all tests of a kind, and two cores: in turn.
  workers: 1,
  fullyParallel: false,
  // Bounds for a machine that has other things to do; conditions are waited for, not times.
  timeout: 180_000,
  expect: { timeout: 30_000 },
  forbidOnly: process.env.CI !== undefined,
  retries: 0,
  reporter: [["list"]],
  outputDir: "test-results",
  use: {
    viewport: { width: 1440, height: 900 },
    locale: "en-GB",
    timezoneId: "Europe/Berlin",
    screenshot: "only-on-failure",
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      // Root in a container has no user namespace to put the browser's sandbox into.
      args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
    },
  },
});
