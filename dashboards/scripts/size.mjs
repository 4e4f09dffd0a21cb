// The first load must stay below 250 KB gzip: the page, and every script and style it names.
import { readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const MOST = 250_000;
const dist = fileURLToPath(new URL("../dist", import.meta.url));
const page = readFileSync(join(dist, "index.html"), "utf8");
const named = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+\.(?:js|css))"/g)].map((match) => match[1]);
const total = ["index.html", ...named].reduce((sum, path) => sum + statSync(join(dist, `${path}.gz`)).size, 0);
console.log(`first load: ${named.length + 1} files, ${(total / 1000).toFixed(1)} KB gzip of ${MOST / 1000}`);
process.exit(named.length >= 2 && total < MOST ? 0 : 1);
