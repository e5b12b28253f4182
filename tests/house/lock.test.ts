/** `npm ci` refuses a lock file that leaves out the packages of other platforms, and only a fresh clone shows it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

interface Entry {
  version: string;
  resolved?: string;
  optionalDependencies?: Record<string, string>;
}
const lock = JSON.parse(readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8"));
const packages = lock.packages as Record<string, Entry>;

test("the lock file lists every optional package of every platform", () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies)
      .filter(([name, wanted]) => {
        const found = packages[`${path}/node_modules/${name}`] ?? packages[`node_modules/${name}`];
        return found === undefined || (/^\d/.test(wanted) && found.version !== wanted);
      })
      .map(([name, wanted]) => `${name} ${wanted}, wanted by ${path}`),
  );
  expect(missing).toEqual([]);
});

test("the lock file names no registry", () => {
  expect(Object.keys(packages).filter((path) => packages[path].resolved)).toEqual([]);
});
