// All browser tests in one worker, their files in an order that a seed decides: what one leaves behind must
// not decide another. `SLUICE_SHUFFLE=7 npx playwright test` runs this instead of the files themselves.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const made = new Set(["measure.spec.ts", "shots.spec.ts"]);
const files = readdirSync(fileURLToPath(new URL(".", import.meta.url))).filter((name) => name.endsWith(".spec.ts") && !made.has(name)).sort();
let state = Number(process.env.SLUICE_SHUFFLE);
for (let left = files.length; left > 1; left -= 1) {
  // A linear congruential generator (Numerical Recipes): the same order for the same seed.
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  const at = state % left;
  [files[left - 1], files[at]] = [files[at] ?? "", files[left - 1] ?? ""];
}
console.log(`order: ${files.join(" ")}`);
for (const name of files) await import(`./${name}`);
