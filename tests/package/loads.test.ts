/** Importing `tenon` in bare Node loads tensors and models, not the training loop, the data readers or WebGPU. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { builtDist } from "../setup/dist.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Runs in Node's loader thread: prints the URL of every module loaded. */
const hooks = `import { writeSync } from "node:fs";
  export const load = (url, context, next) => (writeSync(1, url + "\\n"), next(url, context));`;

/** URLs of all modules that `import entry` loads. */
async function modulesLoadedBy(entry: string): Promise<string[]> {
  const program = `
    import { register } from "node:module";
    register("data:text/javascript," + encodeURIComponent(${JSON.stringify(hooks)}));
    await import(${JSON.stringify(pathToFileURL(entry).href)});`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  return stdout.trim().split("\n");
}

/** Bundled files say in their source map which sources they hold. */
function sourcesOf(file: string): string[] {
  if (!existsSync(`${file}.map`)) return []; // nothing but imports
  const { sources } = JSON.parse(readFileSync(`${file}.map`, "utf8")) as { sources: string[] };
  return sources.map((path) =>
    relative(root, join(dirname(file), path))
      .split(sep)
      .join("/"),
  );
}

test("import of tenon loads only what tensors and models need", async () => {
  const dist = await builtDist();
  const loaded = await modulesLoadedBy(join(dist, "node", "tenon.js"));
  const files = loaded.filter((url) => url.startsWith("file:")).map((url) => fileURLToPath(url));
  expect(files).toContain(join(dist, "node", "tenon.js"));

  expect(files.filter((path) => !path.startsWith(dist + sep))).toEqual([]);
  expect(loaded.filter((url) => !/^(file|node):/.test(url))).toEqual([]);
  // `train()` gives a run and its event stream at once; the loop itself comes with the first call.
  const later = [/^src\/runs\/(?!events\.ts$)/, /^src\/data\//, /^src\/cli\//, /^src\/backend\/webgpu\//];
  const sources = files.flatMap(sourcesOf);
  expect(sources).toContain("src/node/platform.ts");
  expect(sources.filter((path) => later.some((folder) => folder.test(path)))).toEqual([]);
});

test("imports by names that bundlers cannot know are marked for them, which would warn", async () => {
  const chunks = join(await builtDist(), "chunks");
  const code = readdirSync(chunks)
    .filter((name) => name.endsWith(".js"))
    .map((name) => readFileSync(join(chunks, name), "utf8"));
  const found = [...code.join("\n").matchAll(/\bimport\(((?:\s*\/\*.*\*\/)*)\s*\w+\s*\)/g)];
  expect(found.length).toBeGreaterThan(1);
  for (const [, marks] of found) expect(marks).toMatch(/webpackIgnore: true.*\s.*@vite-ignore/);
});
