/**
 * The public surface, kept under version control: `tests/house/api.snap` changes only on purpose, by `npm run api`,
 * and a reviewer sees what users gain or lose.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type Exports, exportsOf } from "./exports.js";

const path = (relative: string) => fileURLToPath(new URL(`../../${relative}`, import.meta.url));
const manifest = JSON.parse(readFileSync(path("package.json"), "utf8"));

/** Entry → source file, from the package's own table: `./dist/types/nn/index.d.ts` is made of `src/nn/index.ts`. */
const entries = Object.entries(manifest.exports as Record<string, string | { types: string }>)
  .filter((entry): entry is [string, { types: string }] => typeof entry[1] === "object")
  .map(([name, { types }]) => [
    name.replace(/^\./, "tenon"),
    types.replace("./dist/types/", "src/").replace(".d.ts", ".ts"),
  ]);

test("the exports of every entry point are those of api.snap (npm run api updates it)", async () => {
  const surface = entries.map(([name, source]) => `${name}\n${listing(exportsOf(path(source)))}`).join("\n");
  await expect(surface).toMatchFileSnapshot("api.snap");
});

test.each(entries)("%s exports at run time what the snapshot says", async (_, source) => {
  const listed = [...exportsOf(path(source))].filter(([, { kind }]) => kind !== "type").map(([name]) => name);
  const module = await import(/* @vite-ignore */ path(source));
  expect(Object.keys(module).sort()).toEqual(listed.sort());
});

test.each(entries)("every class, function and constant of %s has a doc comment", (_, source) => {
  const bare = [...exportsOf(path(source))].filter(([, { kind, documented }]) => kind !== "type" && !documented);
  expect(bare.map(([name]) => name)).toEqual([]);
});

test.each([
  ["docs/tensors.md", "src/ops/index.ts", /^(defineOp|cachedAttention)$/],
  ["docs/modules.md", "src/nn/index.ts", /^(HostTensor|setGenerator|deferInit|gpt2Rule)$/],
  ["docs/modules.md", "src/optim/index.ts", /^(Optimizer|createSchedule|schedules|orthogonalize|totalNorm)$/],
])("%s names every function and class of %s", (page, source, others) => {
  const named = new Set(readFileSync(path(page), "utf8").match(/\w+/g));
  const exported = [...exportsOf(path(source))].filter(([, { kind }]) => kind !== "type").map(([name]) => name);
  expect(exported.filter((name) => !named.has(name) && !others.test(name))).toEqual([]);
});

const listing = (exported: Exports) =>
  [...exported]
    .map(([name, { kind }]) => `  ${kind} ${name}\n`)
    .sort()
    .join("");
