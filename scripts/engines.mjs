/**
 * `npm run test:engines`: one training run in every JavaScript engine there is, and one hash for all of them.
 *
 *   --steps N     optimizer steps; 200 unless told
 *   --offline     fetch nothing; engines that are not here are told as absent
 *   --apt         may install Firefox with apt-get where it is missing
 *   --json        the table as one line of JSON
 *
 * Node and Chromium come with the development dependencies; Bun, Deno and the driver of Firefox are packages of
 * `engines/`, installed there. Exits with 1 when two engines differ, or when one fails.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs, promisify } from "node:util";
import { chromium } from "playwright";
import { browserLaunch, isolation } from "./browser.mjs";
import { buildIfStale } from "./build.mjs";
import { Absent, engines, fetchPackages, findFirefox, launchFirefox } from "./firefox.mjs";
import { root } from "./install.mjs";

const flag = { type: "boolean", default: false };
const { values } = parseArgs({
  options: { steps: { type: "string", default: "200" }, offline: flag, apt: flag, json: flag },
});
const steps = Number(values.steps);
if (!Number.isSafeInteger(steps) || steps < 1) {
  console.error(`test:engines: --steps needs a whole number from 1 up, got ${values.steps}.`);
  process.exit(2);
}

// A copy of the build, so that building anew meanwhile changes nothing.
await buildIfStale();
const dist = join(root, ".cache", "engines-dist");
rmSync(dist, { recursive: true, force: true });
cpSync(join(root, "dist"), dist, { recursive: true });

/** The engines, in the order of the table. Each entry: name, threads, and what makes the run. */
const rows = [
  ...[1, 2, 4].map((threads) => ["Node", threads, () => terminal(process.execPath, [], threads)]),
  ["Bun", 2, () => terminal(packaged("bun"), [], 2)],
  ["Deno", 2, () => terminal(packaged("deno"), ["run", "--allow-all", "--no-lock"], 2)],
  ["Chromium, isolated page", 2, () => inChromium(isolation)],
  ["Chromium, plain page", 1, () => inChromium({})],
  ["Firefox, isolated page", 2, () => inFirefox(isolation)],
  ["Firefox, plain page", 1, () => inFirefox({})],
];

const missingPackages = fetchPackages(values.offline);

/** The program of a package of `engines/`. */
function packaged(name) {
  const path = join(engines, "node_modules", ".bin", process.platform === "win32" ? `${name}.cmd` : name);
  if (!existsSync(path)) throw new Absent(missingPackages ?? `${name} has no program for this system`);
  return path;
}

async function terminal(program, args, threads) {
  const options = JSON.stringify({ dist: `${pathToFileURL(dist)}/`, steps, threads });
  const { stdout } = await promisify(execFile)(program, [...args, join(engines, "host.js"), options], {
    cwd: engines,
    timeout: 600_000,
  });
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** What a page runs; it returns the result. */
const pageCode = `(async () => {
  const paths = ["/dist/index.js", "/dist/runs.js", "/engines/run.js"];
  const [tenon, runs, { engineRun }] = await Promise.all(paths.map((path) => import(path)));
  return engineRun({ tenon, runs }, ${JSON.stringify({ steps, threads: 2 })});
})()`;

/** Serves the build and the run with these headers while `use` is at work. */
async function served(headers, use) {
  const folders = { "/dist/": dist, "/engines/": engines };
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const prefix = Object.keys(folders).find((start) => path.startsWith(start));
    const body = prefix && (await readFile(join(folders[prefix], path.slice(prefix.length))).catch(() => undefined));
    const type = path.endsWith(".js") ? "text/javascript" : "text/html";
    const found = path === "/" ? "<!doctype html><title>engines</title>" : body;
    response.writeHead(found === undefined ? 404 : 200, { "Content-Type": type, ...headers }).end(found);
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  try {
    return await use(`http://localhost:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function inChromium(headers) {
  const launch = browserLaunch();
  if (!launch) throw new Absent("no browser (set CHROME_PATH)");
  const browser = await chromium.launch(launch);
  try {
    return await served(headers, async (url) => {
      const page = await browser.newPage();
      await page.goto(url);
      return { ...(await page.evaluate(pageCode)), version: browser.version() };
    });
  } finally {
    await browser.close();
  }
}

async function inFirefox(headers) {
  if (missingPackages) throw new Absent(missingPackages);
  const browser = await launchFirefox({ executablePath: findFirefox(values.apt && !values.offline) });
  try {
    return await served(headers, async (url) => {
      const page = await browser.newPage();
      await page.goto(url);
      return { ...(await page.evaluate(pageCode)), version: (await browser.version()).replace(/^firefox\//i, "") };
    });
  } finally {
    await browser.close();
  }
}

const hashOf = ({ weightsHash, metricsHash, tokens }) =>
  createHash("sha256")
    .update(JSON.stringify([weightsHash, metricsHash, tokens]))
    .digest("hex")
    .slice(0, 16);

const table = [];
for (const [engine, threads, make] of rows) {
  const row = { engine, version: "", threads, hash: "", weightsHash: "", seconds: 0 };
  const began = performance.now();
  try {
    const result = await make();
    const { version, weightsHash, metricsHash, text } = result;
    Object.assign(row, { version, threads: result.threads, weightsHash, metricsHash, text, hash: hashOf(result) });
  } catch (error) {
    row[error instanceof Absent ? "absent" : "failed"] = error.message.split("\n")[0];
    if (!(error instanceof Absent)) console.error(error);
  }
  row.seconds = Math.round((performance.now() - began) / 100) / 10;
  table.push(row);
  console.error(`${row.engine}: ${row.absent ? `absent: ${row.absent}` : (row.failed ?? row.hash)} (${row.seconds} s)`);
}

const ran = table.filter(({ hash }) => hash !== "");
const same = new Set(ran.map(({ hash }) => hash)).size <= 1;
const failed = table.filter(({ failed }) => failed !== undefined);
if (values.json) console.log(JSON.stringify({ steps, same, table }));
else {
  console.log(`\n${steps} steps; the hash is over weights, metrics and 60 sampled tokens.\n`);
  console.log("| engine | version | threads | weightsHash | hash of all |\n| --- | --- | --- | --- | --- |");
  for (const { engine, version, threads, weightsHash, hash, absent, failed } of table) {
    const cells = hash ? [version, threads, `\`${weightsHash.slice(0, 16)}…\``, `\`${hash}\``] : [];
    const rest = hash ? cells.join(" | ") : `- | - | - | ${absent ? `absent: ${absent}` : `failed: ${failed}`}`;
    console.log(`| ${engine} | ${rest} |`);
  }
  console.log(same ? `\nEqual bits in all ${ran.length}.` : "\nDIFFERENT BITS.");
}
process.exit(same && failed.length === 0 && ran.length > 0 ? 0 : 1);
