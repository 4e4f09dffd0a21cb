// Checks of the sources that need no build: types as the description has them, and what the sources
// may not say.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import openapi, { astToString } from "openapi-typescript";

const here = fileURLToPath(new URL("..", import.meta.url));
const wrong = [];

const made = astToString(await openapi(new URL("../../api/openapi.json", import.meta.url), { alphabetize: true }));
const kept = readFileSync(join(here, "src/api/schema.d.ts"), "utf8");
if (!kept.endsWith(made)) wrong.push("src/api/schema.d.ts is behind api/openapi.json: npm run types");

const BANNED = [
  [/\{@html/, "{@html}: event text is text"],
  [/innerHTML|outerHTML|insertAdjacentHTML|document\.write/, "HTML from strings"],
  [/\beval\(|new Function/, "code from strings"],
  [/[\s<]style="[^{]/, "an inline style, which the content policy refuses; use a class or style:"],
];
let files = 0;
const walk = (folder) => {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) { walk(path); continue; }
    if (!/\.(svelte|ts)$/.test(name) || name === "schema.d.ts") continue;
    files += 1;
    const text = readFileSync(path, "utf8");
    for (const [pattern, why] of BANNED) if (pattern.test(text)) wrong.push(`${path}: ${why}`);
    if (/(?<!\/\/ .*)https?:\/\/(?!attack\.mitre\.org)/.test(text) && !name.endsWith(".test.ts")) wrong.push(`${path}: an address of another origin`);
    if (text.split("\n").length > 500) wrong.push(`${path}: past 500 lines`);
  }
};
walk(join(here, "src"));
if (files < 40) wrong.push(`only ${files} files were looked at`);

const lock = readFileSync(join(here, "package-lock.json"), "utf8");
for (const [, host] of lock.matchAll(/"resolved": "https?:\/\/([^/"]+)/g)) {
  if (host !== "registry.npmjs.org") wrong.push(`package-lock.json names the registry ${host}`);
}

for (const each of wrong) console.error(`error: ${each}`);
process.exit(wrong.length === 0 ? 0 : 1);
