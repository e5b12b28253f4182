/**
 * `npm run playground`: builds the page and serves it on this machine, cross-origin isolated, so that it has threads.
 * `--plain` leaves the headers away, as static hosts do; `--port N` chooses the port.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build, preview } from "vite";
import { isolation } from "./browser.mjs";
import { buildIfStale } from "./build.mjs";
import { root } from "./install.mjs";

const settings = (outDir) => ({
  configFile: false,
  root: join(root, "playground"),
  // Any folder of any host can hold it.
  base: "./",
  logLevel: "warn",
  resolve: {
    alias: [
      { find: /^tenon$/, replacement: join(root, "dist/index.js") },
      { find: /^tenon\/(.+)$/, replacement: join(root, "dist/$1.js") },
    ],
  },
  worker: { format: "es" },
  build: { outDir, emptyOutDir: true, target: "es2022", rolldownOptions: { checks: { pluginTimings: false } } },
});

/** Builds the page into a folder. */
export async function buildPlayground(outDir) {
  await buildIfStale();
  await build(settings(outDir));
}

/** Serves a built page; resolves with its address and how to end it. */
export async function servePlayground(outDir, { port = 4173, isolated = true } = {}) {
  const server = await preview({
    ...settings(outDir),
    preview: { port, strictPort: port !== 0 && port !== 4173, headers: isolated ? isolation : {} },
  });
  return { url: server.resolvedUrls.local[0], close: () => server.close() };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values } = parseArgs({
    options: { plain: { type: "boolean", default: false }, port: { type: "string", default: "4173" } },
  });
  const outDir = join(root, "playground", "dist");
  await buildPlayground(outDir);
  const { url } = await servePlayground(outDir, { port: Number(values.port), isolated: !values.plain });
  console.log(`The playground is at ${url}${values.plain ? " (one thread: without isolation)" : ""}. Ctrl-C ends it.`);
}
