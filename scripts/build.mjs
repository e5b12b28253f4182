/** `npm run build`: the bundles (rolldown) and their declarations (tsc) in `dist/`. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./install.mjs";

export function build() {
  run("inherit", "rolldown/bin/cli.mjs", "-c", "rolldown.config.ts");
  run("inherit", "typescript/bin/tsc", "-p", "tsconfig.build.json");
}

function run(stdio, script, ...args) {
  execFileSync(process.execPath, [join(root, "node_modules", script), ...args], { cwd: root, stdio });
}

/** Builds when `dist/` is missing or older than the sources. Test files call this in parallel; one of them builds. */
export async function buildIfStale() {
  const lock = join(root, ".cache", "build.lock");
  mkdirSync(join(root, ".cache"), { recursive: true });
  const age = (path) => Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch {
      // Someone else builds. A lock of two minutes was left by a process that was killed.
      if (age(lock) > 120_000) rmdirSync(lock);
      else await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  try {
    if (stale()) buildQuietly();
  } finally {
    rmdirSync(lock);
  }
}

/** Type errors do not stop it (declarations are written all the same): they are the type check's business. */
function buildQuietly() {
  run(["ignore", "ignore", "inherit"], "rolldown/bin/cli.mjs", "-c", "rolldown.config.ts");
  try {
    run("ignore", "typescript/bin/tsc", "-p", "tsconfig.build.json");
  } catch {
    // See above.
  }
}

function stale() {
  const time = (path) => statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const built = Math.min(time("dist/index.js"), time("dist/types/index.d.ts"));
  const sources = readdirSync(join(root, "src"), { recursive: true }).map((path) => join("src", path));
  return ["package.json", "rolldown.config.ts", ...sources].some((path) => time(path) > built);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) build();
