/** One short training run, the same file everywhere: on terminals with several threads, in pages with and without them. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { isolation } from "../../scripts/browser.mjs";
import { builtDist } from "../setup/dist.js";
import { servePage } from "../setup/page.js";

interface Outcome {
  weightsHash: string;
  metricsHash: string;
  tokens: number[];
  runId: string;
  threads: number;
}

const steps = 8;
const engines = new URL("../../engines/", import.meta.url);

async function inNode(threads: number): Promise<Outcome> {
  const dist = `${pathToFileURL(await builtDist())}/`;
  const host = fileURLToPath(new URL("host.js", engines));
  const run = await promisify(execFile)(process.execPath, [host, JSON.stringify({ dist, steps, threads })]);
  return JSON.parse(run.stdout);
}

let first: Promise<Outcome> | undefined;
/** What all others must equal. */
const oneThread = () => (first ??= inNode(1));

async function inPage(headers: Record<string, string>): Promise<Outcome | null> {
  const page = await servePage({ headers, files: { "/run.js": readFileSync(new URL("run.js", engines)) } });
  try {
    return (await page?.run<Outcome>(`
      const [tenon, runs, { engineRun }] = await Promise.all([
        import("/dist/index.js"), import("/dist/runs.js"), import("/run.js"),
      ]);
      return engineRun({ tenon, runs }, { steps: ${steps}, threads: 2 });`)) as Outcome | null;
  } finally {
    await page?.close();
  }
}

const bits = ({ weightsHash, metricsHash, tokens, runId }: Outcome) => ({ weightsHash, metricsHash, tokens, runId });

test("Node with 1, 2 and 4 threads gives the same weights, metrics and tokens", async () => {
  const one = await oneThread();
  expect(one.tokens).toHaveLength(60);
  for (const threads of [2, 4]) {
    const more = await inNode(threads);
    expect(more.threads).toBe(threads);
    expect(bits(more)).toEqual(bits(one));
  }
});

test.for([
  { page: "an isolated page", headers: isolation, threads: 2 },
  { page: "a page without isolation", headers: {}, threads: 1 },
])("$page gives the bits of Node", async ({ headers, threads }, { skip }) => {
  const there = await inPage(headers as Record<string, string>);
  if (!there) return skip("no browser");
  expect(there.threads).toBe(threads);
  expect(bits(there)).toEqual(bits(await oneThread()));
});
