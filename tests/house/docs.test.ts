/** Every example in the documentation is type-checked and run against the built package: what stands there works. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { transformSync } from "rolldown/utils";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { builtDist } from "../setup/dist.js";
import { type Example, type Page, readPage } from "./fences.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

const markdown = readdirSync(root, { encoding: "utf8" })
  .concat(readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).map((name) => join("docs", name)))
  .filter((name) => name.endsWith(".md"))
  .sort();
const documents = markdown.map((name) => ({ name, ...readPage(readFileSync(join(root, name), "utf8")) }));

/** `examples/*.ts` and `.js`: a program each. One that no test can wait for opens with `// no-run` and its reason. */
const programs = readdirSync(root, { encoding: "utf8" })
  .filter((name) => name === "examples")
  .flatMap((name) => readdirSync(join(root, name), { encoding: "utf8" }))
  .filter((name) => /\.(ts|js|mjs)$/.test(name))
  .map((name): { name: string } & Page => {
    const code = readFileSync(join(root, "examples", name), "utf8");
    const language = name.endsWith(".ts") ? "ts" : "js";
    const example: Example = { line: 1, language, code, run: !code.startsWith("// no-run") };
    return { name: `examples/${name}`, examples: [example], files: [] };
  });
const pages = [...documents, ...programs];

/** Inside the project, so that `import … from "tenon"` finds the package by its own name. */
const folder = join(root, ".cache", "examples");
mkdirSync(folder, { recursive: true });
const scratch = mkdtempSync(join(folder, "run-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const example = (page: string, line: number, extension: string) =>
  join(scratch, page.replace(/\W/g, "-"), `line-${line}.${extension}`);
const write = (path: string, text: string) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};

test("all examples pass the type checker", async () => {
  for (const { name, examples } of pages)
    for (const { line, language, code } of examples) write(example(name, line, language), `${code}\nexport {};\n`);
  write(
    join(scratch, "tsconfig.json"),
    JSON.stringify({
      extends: "../../../tsconfig.json",
      // Examples name things without using them all.
      compilerOptions: { noUnusedLocals: false, allowJs: true, skipLibCheck: true },
      include: ["**/*.ts", "**/*.js"],
      exclude: [],
    }),
  );
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const errors = await run(process.execPath, [tsc, "-p", scratch], { cwd: root }).then(
    () => "",
    ({ stdout }) => stdout as string,
  );
  // One error each, with its indented details; errors of the sources themselves are reported by the type check.
  const own = errors.split(/\n(?! )/).filter((error) => error.startsWith(relative(root, scratch)));
  expect(own).toEqual([]);
});

describe.each(pages.filter(({ examples }) => examples.some(({ run }) => run)))("$name", ({ name, examples, files }) => {
  beforeAll(async () => {
    await builtDist();
    for (const file of files) write(join(dirname(example(name, 0, "mjs")), file.name), file.text);
  });

  test.each(examples.filter(({ run }) => run))(
    "the example at line $line",
    async ({ line, language, code, output }) => {
      const path = example(name, line, "mjs");
      const { code: plain, errors } = transformSync(`example.${language}`, code);
      expect(errors).toEqual([]);
      write(path, plain);
      // Rejects, with what the program wrote to standard error, when it exits with anything but 0.
      const { stdout, stderr } = await run(process.execPath, [path], { cwd: dirname(path), timeout: 60_000 });
      expect(stderr, "an example to learn from sets its seed").not.toContain("default generator");
      if (output !== undefined) expect(stdout.trim()).toBe(output.trim());
    },
    90_000,
  );
});

test("the reader of pages knows all kinds of fences", () => {
  const page = readPage(
    "```ts\nlet a = 1;\n```\n```ts continue\na++;\n```\n```text output\n2\n```\n- x\n  ```js no-run\n  b();\n  ```\n" +
      "```json file=c.json\n{}\n```\n```sh\nnpm test\n```\n````md\n```ts\nquoted\n```\n````\n",
  );
  expect(page).toEqual({
    examples: [
      { line: 1, language: "ts", code: "let a = 1;\na++;\n", run: true, output: "2\n" },
      { line: 11, language: "js", code: "b();\n", run: false },
    ],
    files: [{ name: "c.json", text: "{}\n" }],
  });
});
