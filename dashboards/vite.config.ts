// Builds the UI into dist/, beside each text file its gzip form. The dev server passes the API on
// to a running `sluice demo` (SLUICE_URL, http://127.0.0.1:7777 if not given).
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

function gzipped(): Plugin {
  const pack = (folder: string): void => {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (statSync(path).isDirectory()) pack(path);
      else if (/\.(js|css|html|svg)$/.test(name)) {
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
      }
    }
  };
  return { name: "gzipped", apply: "build", writeBundle: () => pack("dist") };
}

export default defineConfig({
  plugins: [svelte(), gzipped()],
  build: {
    target: "es2022",
    // The policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { "/api": process.env.SLUICE_URL ?? "http://127.0.0.1:7777" } },
  test: { include: ["src/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
