/** Installs the dependencies when `node_modules` is missing or does not hold what the lock file says. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

export function installIfNeeded() {
  if (installed()) return;
  console.log("Installing dependencies (npm ci) …");
  // Windows starts npm through a shell script.
  const shell = process.platform === "win32";
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: root, stdio: "inherit", shell });
}

/** Compares the lock file with npm's record of what it installed; packages of other platforms may be absent. */
function installed() {
  const packages = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")).packages;
  try {
    const present = packages("../node_modules/.package-lock.json");
    return Object.entries(packages("../package-lock.json")).every(
      ([path, wanted]) =>
        path === "" || present[path]?.version === wanted.version || (!present[path] && wanted.optional),
    );
  } catch {
    return false;
  }
}
