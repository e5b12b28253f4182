/** The rules of the house (docs/decisions.md, CONTRIBUTING.md), read off the sources themselves. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseSource, readSources, type SourceFile } from "./sources.js";

/** Folder → floor. Imports go down or stay level. Files beside the folders are the entry `tenon`, `node` the Node ones. */
const floors: Record<string, number> = {
  core: 0,
  backend: 1,
  tensor: 2,
  ops: 3,
  nn: 4,
  optim: 4,
  tokenizers: 4,
  data: 4,
  models: 5,
  artifacts: 5,
  runs: 6,
  "index.ts": 7,
  "train.ts": 7,
  node: 8,
  cli: 9,
};

/** Folders that know nothing of tensors, and so can be used alone. */
const tensorFree = ["tokenizers", "data"];

/** Only these may use packages from npm; every other entry has no run-time dependency. */
const withDependencies = ["data", "artifacts", "runs", "node", "cli"];

/** Files stay near or under 300 lines; above 350 a line is printed, above 400 the test fails. */
const maxLines = 400;
const warnLines = 350;
/** Files of one noun that need more room, with the reason. */
const longer: Record<string, string> = {
  "tokenizers/models/merges.ts": "one algorithm, its proof and its fallback",
  "tokenizers/regex/parse.ts": "one grammar",
};

/** Their results may differ between engines, in the last bit or altogether. */
const engineDependent = new Set([
  ..."exp expm1 log log1p log2 log10 pow sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh cbrt hypot random"
    .split(" ")
    .map((name) => `Math.${name}`),
  ...["**", "Date", "performance", "crypto.getRandomValues", "crypto.randomUUID"],
]);

/** Only the command line talks to the outside. */
const outside = new Set(["console", "process.argv", "process.env", "process.exit", "process.stdout", "process.stderr"]);

/** `eval` in all its forms. The worker's script is text too, but it is the platform's `spawn` that runs it. */
const evaluation = new Set(["eval", "Function", "new Function"]);

/** File and name → why it is harmless there. Nothing on a path that reaches a weight, a sample or a split. */
const allowed: Record<string, string> = {
  "index.ts console": "the entry point sends warnings to the console unless told otherwise",
  "train.ts performance": "the entry point hands the host's clock to the loop, for tokens per second",
};

const files = readSources();
const folder = (path: string) => path.split("/")[0];
const floor = (path: string) => floors[folder(path)];
const belowCli = files.filter((file) => folder(file.path) !== "cli");

test("every file stands on a known floor", () => {
  expect(files.length).toBeGreaterThan(10);
  expect(files.map((file) => file.path).filter((path) => floor(path) === undefined)).toEqual([]);
});

test("imports name existing files and go down or stay level", () => {
  const known = new Set(files.map((file) => file.path));
  const problems = files.flatMap(({ path, imports }) =>
    imports
      .filter(({ target }) => target !== undefined)
      .filter(({ target }) => !known.has(target!) || floor(target!) > floor(path))
      .map(({ specifier }) => `${path} imports ${specifier}`),
  );
  expect(problems).toEqual([]);
});

test("a folder imports from those above it in README's tree, and from none below", () => {
  const tree = [...readFileSync("README.md", "utf8").matchAll(/^src\/(\w+)\//gm)].map(([, name]) => name);
  expect([...tree].sort()).toEqual(
    Object.keys(floors)
      .filter((name) => !name.includes("."))
      .sort(),
  );
  const line = (path: string) => tree.indexOf(folder(path));
  const problems = files.flatMap(({ path, imports }) =>
    imports
      .filter(({ target }) => target !== undefined && line(path) >= 0 && line(target) > line(path))
      .map(({ specifier }) => `${path} imports ${specifier}`),
  );
  expect(problems).toEqual([]);
});

test("tokenizers and data know no tensors", () => {
  const problems = files
    .filter(({ path }) => tensorFree.includes(folder(path)))
    .flatMap(({ path, imports }) => imports.map(({ target }) => ({ path, target })))
    .filter(({ target }) => target && ![...tensorFree, "core"].includes(folder(target)))
    .map(({ path, target }) => `${path} imports ${target}`);
  expect(problems).toEqual([]);
});

test("no import cycles", () => {
  expect(findCycles(files)).toEqual([]);
});

test("node: modules are imported by src/node and src/cli only, and packages only where the entry may have any", () => {
  const problems = files.flatMap(({ path, imports }) =>
    imports
      .filter(({ specifier }) => !specifier.startsWith("."))
      .filter(({ specifier, typeOnly }) =>
        specifier.startsWith("node:")
          ? !["node", "cli"].includes(folder(path))
          : !typeOnly && !withDependencies.includes(folder(path)),
      )
      .map(({ specifier }) => `${path} imports ${specifier}`),
  );
  expect(problems).toEqual([]);
});

test.each([
  ["nothing that differs between engines or runs", engineDependent],
  ["no output, arguments or environment", outside],
])("below the command line: %s", (_, banned) => {
  expect(usesOf(belowCli, banned)).toEqual([]);
});

test("no code is evaluated at run time", () => {
  expect(usesOf(files, evaluation)).toEqual([]);
});

test(`no file is longer than ${maxLines} lines`, () => {
  const long = files.filter(({ path, lines }) => lines > warnLines && !(path in longer));
  for (const { path, lines } of long) console.warn(`${path}: ${lines} lines; does it hold more than one noun?`);
  expect(long.filter(({ lines }) => lines > maxLines).map(({ path }) => path)).toEqual([]);
});

test("the exceptions above are still needed", () => {
  const used = new Set(files.flatMap((file) => file.uses.map(({ name }) => `${file.path} ${name}`)));
  expect(Object.keys(allowed).filter((key) => !used.has(key))).toEqual([]);
  const known = new Set(files.map(({ path }) => path));
  expect(Object.keys(longer).filter((path) => !known.has(path))).toEqual([]);
});

test("the reader of sources sees values and ignores types, comments and texts", () => {
  const { imports, uses } = parseSource(
    "ops/x.ts",
    `import type { A } from "../core/a.js"; import { type B } from "../core/b.js"; import { c } from "../core/c.js";
     // Math.exp(1)
     const when: Date = c as Date; const text = "Math.cos(1)"; c instanceof performance; const field = { Date: 1 }.Date;
     export const y = Math.sin(x!) + 3 ** y + 2 ** y + 1024 ** 3; new Function("a"); (await import("./z.js")).eval;`,
  );
  expect(imports.map(({ target, typeOnly, dynamic }) => [target, typeOnly, dynamic])).toEqual([
    ["core/a.ts", true, false],
    ["core/b.ts", true, false],
    ["core/c.ts", false, false],
    ["ops/z.ts", false, true],
  ]);
  const names = uses.map(({ name }) => name);
  expect(names.filter((name) => engineDependent.has(name))).toEqual(["Math.sin", "**"]);
  expect(names.filter((name) => evaluation.has(name))).toEqual(["new Function", "Function"]);
  expect(findCycles([cyclic("a.ts", "b.ts"), cyclic("b.ts", "c.ts"), cyclic("c.ts", "b.ts")])).toEqual([
    "b.ts → c.ts → b.ts",
  ]);
});

function usesOf(among: SourceFile[], banned: Set<string>): string[] {
  return among.flatMap(({ path, uses }) =>
    uses
      .filter(({ name }) => banned.has(name) && !(`${path} ${name}` in allowed))
      .map(({ name, line }) => `${path}:${line} ${name}`),
  );
}

/** Depth-first search; types do not count, they are gone at run time. */
function findCycles(among: SourceFile[]): string[] {
  const next = new Map(
    among.map(({ path, imports }) => [
      path,
      imports.filter(({ typeOnly, target }) => target && !typeOnly).map(({ target }) => target!),
    ]),
  );
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: string[]) => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    else if (!done.has(path)) {
      for (const target of next.get(path) ?? []) walk(target, [...trail, path]);
      done.add(path);
    }
  };
  for (const { path } of among) walk(path, []);
  return cycles;
}

function cyclic(path: string, target: string): SourceFile {
  return {
    path,
    lines: 1,
    uses: [],
    imports: [{ specifier: `./${target}`, target, typeOnly: false, dynamic: false }],
  };
}
