// Everything that tests the UI, in one command: types and rules of the sources, unit tests, the size
// of the first load, and browser tests against the real binary (`SLUICE_BIN`, or target/debug/sluice
// of the workspace). Without a browser the last are SKIPPED, which with CI set is a failure.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const cwd = fileURLToPath(new URL("..", import.meta.url));
function run(name, command, args) {
  console.log(`== ${name}`);
  const done = spawnSync(command, args, { cwd, stdio: "inherit" });
  if (done.status !== 0) {
    console.error(`== ${name}: failed`);
    process.exit(1);
  }
}

if (!existsSync(`${cwd}node_modules/@playwright/test`)) {
  run("packages", "npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
}
run("types and sources", "npm", ["run", "--silent", "check"]);
run("unit tests", "npx", ["vitest", "run"]);
run("build", "npx", ["vite", "build", "--logLevel", "warn"]);
run("size", "node", ["scripts/size.mjs"]);
const browser = process.env.CHROMIUM ?? "/usr/bin/chromium";
if (existsSync(browser)) run("browser tests", "npx", ["playwright", "test", ...process.argv.slice(2)]);
else {
  console.log(`SKIPPED browser tests: ${browser} is not there (apt-get install chromium)`);
  if (process.env.CI !== undefined) process.exit(1);
}
