/**
 * The package as users get it: packed, installed without a network beside an empty `package.json`, imported in Node,
 * checked by TypeScript, and bundled by Vite for a page.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportsOf } from "../house/exports.js";
import { builtDist } from "../setup/dist.js";
import { servePage } from "../setup/page.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
/** Someone else's package: ops defined outside of the repository. */
const plugin = fileURLToPath(new URL("plugin", import.meta.url));
const project = mkdtempSync(join(tmpdir(), "tenon-user-"));
const installed = join(project, "node_modules/tenon");
const shell = process.platform === "win32"; // npm is a shell script there
const run = (command: string, args: string[], cwd = project) =>
  promisify(execFile)(command, args, { cwd, shell: shell && command === "npm" });

/** What both users' programs do: import everything, and train one step where there are models. */
const program = `
  import * as tenon from "tenon";
  ${entryNames()
    .map((name, i) => `import * as entry${i} from "${name}";`)
    .join("\n")}
  export async function main() {
    const exported = [${entryNames().map((_, i) => `entry${i}`)}].map((entry) => Object.keys(entry).length);
    if (!("createModel" in tenon)) return { exported, loss: null };
    tenon.manualSeed(1);
    const model = await tenon.createModel(
      { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16, n_positions: 8, vocab_size: 11 });
    const { loss } = await model.trainStep({ ids: [[1, 2, 3, 4], [5, 6, 7, 8]] }, { learningRate: 1e-3 });
    return { exported, loss };
  }`;
interface Outcome {
  exported: number[];
  loss: number | null;
}

/** Every entry point but those that only Node has. */
function entryNames(): string[] {
  return Object.keys(manifest.exports)
    .filter((name) => name !== "./package.json" && name !== "./node")
    .map((name) => name.replace(/^\./, "tenon"));
}

beforeAll(async () => {
  await builtDist();
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  mkdirSync(join(project, "packed"));
  // Run-time dependencies are packed from our own node_modules: nothing is fetched.
  for (const folder of [root, plugin, ...dependencyFolders(manifest)])
    await run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", join(project, "packed")], folder);
  const tarballs = readdirSync(join(project, "packed")).map((name) => `./packed/${name}`);
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", ...tarballs]);
}, 120_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** Folders of all packages that `manifest` needs at run time, and of those that they need. */
function dependencyFolders({ dependencies = {} }: { dependencies?: object }, found = new Set<string>()): Set<string> {
  for (const name of Object.keys(dependencies)) {
    const folder = join(root, "node_modules", name);
    if (found.has(folder)) continue;
    found.add(folder);
    dependencyFolders(JSON.parse(readFileSync(join(folder, "package.json"), "utf8")), found);
  }
  return found;
}

test("the package holds the build, what is to be read, and nothing else", () => {
  const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
  const expected = /^(dist\b|docs$|bench$|examples(.\w+)?$|.*\.md$|examples.*\.json$|LICENSE$|package\.json$)/;
  expect(files.filter((name) => !expected.test(name))).toEqual([]);
  expect(files).toContain(join("dist", "index.js"));
});

test("its pages say how it is installed, and link to pages that came along", () => {
  expect(readFileSync(join(installed, "README.md"), "utf8").split("```")[1]).toContain("npm install tenon ");
  const pages = readdirSync(installed, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".md"));
  expect(pages).toContain(join("docs", "determinism.md")); // which warnings name
  const missing = pages.flatMap((page) =>
    [...readFileSync(join(installed, page), "utf8").matchAll(/\]\(([^):#]+\.md)[)#]/g)]
      .map(([, link]) => join(dirname(page), link))
      .filter((name) => !pages.includes(name)),
  );
  expect(missing).toEqual([]);
});

test("what only some need is an optional peer: nobody gets it unasked, and a version too old is told by npm", () => {
  const optional = Object.keys(manifest.peerDependencies).map((name) => [name, { optional: true }]);
  expect(manifest.peerDependenciesMeta).toEqual(Object.fromEntries(optional));
  expect(Object.keys(manifest.peerDependencies)).toEqual(["@huggingface/jinja", "webgpu"]);
});

test("it is imported in Node, trains a step, and never reaches for the network", async () => {
  writeFileSync(join(project, "main.mjs"), `${program}\nconsole.log(JSON.stringify(await main()));`);
  const offline = `import { Socket } from "node:net";
    Socket.prototype.connect = () => { throw new Error("the network was used"); };`;
  const { stdout } = await run(process.execPath, [
    "--import",
    `data:text/javascript,${encodeURIComponent(offline)}`,
    "main.mjs",
  ]);
  check(JSON.parse(stdout));
});

test("a loader that makes CommonJS of its modules is refused, as a second copy would come with import()", async () => {
  // What tsx does for programs that are no ES modules, without tsx: the module stands in the cache of `require`.
  const chunk = readdirSync(join(installed, "dist/chunks")).find((name) => {
    const code = readFileSync(join(installed, "dist/chunks", name), "utf8");
    return name.endsWith(".js") && code.includes("refuseCommonJs();");
  });
  const path = JSON.stringify(join(installed, "dist/chunks", chunk!));
  const code = `
    const { createRequire, Module } = await import("node:module");
    createRequire(${path}).cache[${path}] = new Module(${path});
    await import("tenon").catch((error) => console.log(error.name, error.message));`;
  writeFileSync(join(project, "loader.mjs"), code);
  const { stdout } = await run(process.execPath, ["loader.mjs"]);
  expect(stdout).toMatch(/^ConfigError tenon: needs a loader .* "type": "module"/);
});

test("CommonJS requires it, and trains", async () => {
  const code = `
    const { init, train } = require("tenon");
    const { MemoryStore } = require("tenon/runs");
    const config = { data: { corpus: "tales", length: 3000 }, model: { n_layer: 1, n_head: 1, n_embd: 4 }, training: { steps: 1 } };
    init({ threads: 1 })
      .then(() => train(config, { store: new MemoryStore() }))
      .then(({ weightsHash }) => console.log(weightsHash.length));`;
  writeFileSync(join(project, "main.cjs"), code);
  const { stdout } = await run(process.execPath, ["main.cjs"]);
  expect(stdout).toBe("64\n");
});

test("a second package brings ops of its own, and a model trains with them", async ({ skip }) => {
  if (!exportsOf(join(root, "src/index.ts")).has("defineOp")) skip("tenon does not export defineOp yet");
  const custom = `
    import { meanSquare, swish, total } from "tenon-example-ops";
    import { manualSeed, randn, tensor } from "tenon";
    import { Linear } from "tenon/nn";
    import { AdamW } from "tenon/optim";

    const x = tensor([0.5, -1, 2], { requiresGrad: true });
    total(swish(x)).backward();
    const gradient = Array.from(await x.grad.data());

    manualSeed(1);
    const inputs = randn([32, 3]);
    const targets = inputs.matmul(tensor([[1], [-2], [0.5]]));
    const [first, second] = [new Linear(3, 16), new Linear(16, 1)];
    const optimizer = new AdamW([...first.parameters(), ...second.parameters()], { lr: 0.02 });
    const losses = [];
    for (let step = 0; step < 60; step++) {
      const loss = meanSquare(second.forward(swish(first.forward(inputs))).sub(targets));
      losses.push(await loss.item());
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
    }
    console.log(JSON.stringify({ gradient, losses }));`;
  writeFileSync(join(project, "custom.mjs"), custom);
  const { stdout } = await run(process.execPath, ["custom.mjs"]);
  const { gradient, losses } = JSON.parse(stdout) as { gradient: number[]; losses: number[] };

  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const slope = (x: number) => sigmoid(x) * (1 + x * (1 - sigmoid(x)));
  expect(gradient.map((value, i) => Math.abs(value - slope([0.5, -1, 2][i])) < 1e-6)).toEqual([true, true, true]);
  expect(losses.at(-1)).toBeLessThan(losses[0] / 5);
});

/** A user's program: what is scarce in old libraries, and values of the web where the project's libraries have them. */
const typed = `
  import { tensor } from "tenon";
  import { type DataSource, encodeInstructions, encodeTexts, fromCsv, instructionStep, tokenStep } from "tenon/data";
  import { byteTokenizer } from "tenon/tokenizers";
  {
    using x = tensor([1]);
    x[Symbol.dispose]();
  }
  export const rows = fromCsv({ text: "a\\n1\\n" });
  export const examples = rows.flatMap(encodeInstructions(byteTokenizer()), instructionStep(byteTokenizer()));
  export const ids = rows.map(encodeTexts(byteTokenizer()), tokenStep(byteTokenizer()));
  // @ts-expect-error
  export const none: DataSource = 1;`;
const typedWeb = `
  import { loadTokenizer } from "tenon/tokenizers";
  declare const bytes: ReadableStream<Uint8Array>, numbers: ReadableStream<number>, response: Response, blob: Blob;
  export const { signal } = new AbortController();
  export const sources: DataSource[] = [bytes, response, blob, new URL("http://a.b/c.csv")];
  export const open = () => [fromCsv(bytes, { signal }), loadTokenizer(blob)];
  // @ts-expect-error
  export const counts: DataSource = numbers;
  // @ts-expect-error
  export const size: DataSource = { size: 1, arrayBuffer: async () => new ArrayBuffer(1) };`;

test.each([
  { moduleResolution: "NodeNext", lib: ["ES2022"], types: [] },
  { moduleResolution: "NodeNext", lib: ["ES2022"], types: ["node"] },
  { moduleResolution: "Bundler", lib: ["ES2022", "DOM"], types: [] },
])("TypeScript needs nothing but its types (%j)", async ({ moduleResolution, lib, types }) => {
  const lines = [...entryNames(), "tenon/node"].map((name, i) => `export * as entry${i} from "${name}";`);
  const web = lib.includes("DOM") || types.includes("node");
  writeFileSync(join(project, "types.ts"), lines.join("\n") + typed + (web ? typedWeb : ""));
  const compilerOptions = {
    ...{ moduleResolution, lib, types, typeRoots: [join(root, "node_modules/@types")] },
    module: moduleResolution === "NodeNext" ? "NodeNext" : "ESNext",
    ...{ target: "ES2022", strict: true, exactOptionalPropertyTypes: true, noEmit: true, skipLibCheck: false },
  };
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["types.ts"] }));
  const errors = await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."]).then(
    () => "",
    ({ stdout }) => stdout,
  );
  expect(errors).toBe("");
});

test("Vite bundles it, and the page trains a step", async ({ skip }) => {
  writeFileSync(join(project, "main.js"), `${program}\nglobalThis.outcome = main();`);
  writeFileSync(join(project, "index.html"), `<!doctype html><script type="module" src="/main.js"></script>`);
  await build({ root: project, configFile: false, logLevel: "error", build: { outDir: "site" } });
  const site = join(project, "site");
  const assets = readdirSync(join(site, "assets")).map((name) => `assets/${name}`);
  const files = Object.fromEntries(assets.map((name) => [`/${name}`, readFileSync(join(site, name))]));

  const page = await servePage({ html: readFileSync(join(site, "index.html"), "utf8"), files });
  if (!page) return skip("no browser");
  try {
    check(await page.run<Outcome>("return globalThis.outcome;"));
    expect(page.messages).toEqual([]);
  } finally {
    await page.close();
  }
}, 90_000);

function check({ exported, loss }: Outcome): void {
  expect(exported).toHaveLength(entryNames().length);
  if (loss === null) return void console.log("no step trained: tenon does not export createModel yet");
  // Ten symbols, no knowledge: about ln(11).
  expect(loss).toBeGreaterThan(1.5);
  expect(loss).toBeLessThan(3.5);
}
