/** `npm run build`: the bundles (rolldown) and their declarations (tsc) in `dist/`. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./install.mjs";
import { locked } from "./lock.mjs";

/** What the sources say in the place of the hash. */
const UNBUILT = /none: a source checkout that was not built/g;

/** Types of the web's interfaces, in declarations. */
const WEB_TYPES = "scripts/web.d.ts";

async function build() {
  await run("inherit", "rolldown/bin/cli.mjs", "-c", "rolldown.config.ts");
  writeBuildHash();
  await run("inherit", "typescript/bin/tsc", "-p", "tsconfig.build.json");
  importWebTypes();
}

/** SHA-256 over `<hash>  <path>` lines of all scripts of `dist/` by path, as `sha256sum` prints them. */
export function buildHash(textOf) {
  const dist = join(root, "dist");
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  const lines = scripts(dist).map((path) => `${sha256(textOf(join(dist, path)))}  ${path.split(sep).join("/")}\n`);
  return sha256(lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join(""));
}

const scripts = (folder) => readdirSync(folder, { recursive: true }).filter((path) => path.endsWith(".js"));

/** Hashes the scripts as they were bundled, then writes the hash into those that hold its place. */
function writeBuildHash() {
  const dist = join(root, "dist");
  const hash = buildHash((path) => readFileSync(path));
  for (const path of scripts(dist).map((name) => join(dist, name))) {
    const text = readFileSync(path, "utf8");
    if (text.match(UNBUILT)) writeFileSync(path, text.replace(UNBUILT, hash));
  }
}

/** Resolves when the script has succeeded; asynchronous, so that the lock is touched meanwhile. */
function run(stdio, script, ...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, "node_modules", script), ...args], { cwd: root, stdio });
    child.on("error", reject);
    child.on("exit", (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`build: ${script} ended with ${signal ?? code}.`)),
    );
  });
}

/** One build at a time: each begins by emptying `dist/`. */
function oneByOne(work) {
  mkdirSync(join(root, ".cache"), { recursive: true });
  return locked(join(root, ".cache", "build.lock"), work);
}

/** Builds when `dist/` is missing or older than the sources. Test files call this in parallel; one of them builds. */
export const buildIfStale = () => oneByOne(() => (stale() ? buildQuietly() : undefined));

/** Type errors do not stop it (declarations are written all the same): they are the type check's business. */
async function buildQuietly() {
  await run(["ignore", "ignore", "inherit"], "rolldown/bin/cli.mjs", "-c", "rolldown.config.ts");
  writeBuildHash();
  try {
    await run("ignore", "typescript/bin/tsc", "-p", "tsconfig.build.json");
  } catch {
    // See above.
  }
  importWebTypes();
}

/** Gives the declarations the types of `web.d.ts` that they name; at their end, where no directive is moved by it. */
function importWebTypes() {
  const types = join(root, "dist", "types");
  const web = join(types, "web.d.ts");
  copyFileSync(join(root, WEB_TYPES), web);
  const names = [...readFileSync(web, "utf8").matchAll(/^export \w+ (\w+)/gm)].map(([, name]) => name);
  for (const file of readdirSync(types, { recursive: true })) {
    const path = join(types, file);
    if (!file.endsWith(".d.ts") || path === web) continue;
    const text = readFileSync(path, "utf8");
    const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
    const used = names.filter((name) => new RegExp(`\\b${name}\\b`).test(code));
    const from = `"${"../".repeat(file.split(sep).length - 1) || "./"}web.js";`;
    if (used.length === 0 || text.includes(from)) continue;
    writeFileSync(path, `${text}import type { ${used.join(", ")} } from ${from}\n`);
  }
}

function stale() {
  const time = (path) => statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const built = Math.min(time("dist/index.js"), time("dist/types/index.d.ts"));
  const sources = readdirSync(join(root, "src"), { recursive: true }).map((path) => join("src", path));
  return ["package.json", "rolldown.config.ts", WEB_TYPES, ...sources].some((path) => time(path) > built);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await oneByOne(build);
