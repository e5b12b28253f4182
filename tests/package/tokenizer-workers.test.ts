/** `encodeBatch` of the built package: real workers in Node and in pages, and pages whose policy refuses them. */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { builtDist } from "../setup/dist.js";
import { servePage } from "../setup/page.js";

/** Encodes nine million characters, more than one thread's share, and compares a tenth with `encode`. */
const program = (entry: string) => `
  const { byteTokenizer } = await import(${JSON.stringify(entry)});
  const tokenizer = byteTokenizer();
  const texts = Array.from({ length: 3000 }, (_, i) => ("text " + i + ", ").repeat(300).slice(0, 3000));
  const batch = await tokenizer.encodeBatch(texts);
  const again = await tokenizer.encodeBatch(texts.slice(0, 200));
  const same = batch.length === 3000 && batch.every(({ ids }, i) =>
    i % 10 > 0 || String(ids) === String(tokenizer.encode(texts[i]).ids));
  const outcome = { same, again: again.length, last: tokenizer.decode(batch[2999].ids).slice(0, 9) };`;

const wanted = { same: true, again: 200, last: "text 2999" };
const policy = (workers: string) => ({
  "Content-Security-Policy": `default-src 'none'; connect-src 'self'; script-src 'self'; worker-src ${workers}`,
});

test.for([
  ["allowed", "'self'", true],
  ["refused", "'none'", false],
] as const)("in a page, workers %s", async ([, workers, started], { skip }) => {
  const page = await servePage({ headers: policy(workers) });
  if (!page) return skip("no browser");
  try {
    const outcome = await page.run(`${program("/dist/tokenizers.js")} return outcome;`);
    expect(outcome).toEqual(wanted);
    expect(page.requests.some((url) => url.endsWith("/chunks/tokenizer-worker.js"))).toBe(started);
    const elsewhere = page.requests.filter((url) => !url.startsWith(`${page.origin}/`));
    expect(elsewhere).toEqual([]);
  } finally {
    await page.close();
  }
});

test("the worker's module does not name itself: bundlers would go round in circles", async () => {
  const chunks = join(await builtDist(), "chunks");
  const named: string[] = [];
  for (const name of (await readdir(chunks)).filter((file) => file.endsWith(".js")))
    if (/new URL\("\.\/tokenizer-worker\.js"/.test(await readFile(join(chunks, name), "utf8"))) named.push(name);
  expect(named).toEqual([expect.stringMatching(/^batch-/)]);
});

test("in a page where it is missing, the warning says what is to be done", async ({ skip }) => {
  const page = await servePage({ files: { "/dist/chunks/tokenizer-worker.js": "no script" } });
  if (!page) return skip("no browser");
  try {
    const listen = 'const told = []; (await import("/dist/index.js")).setWarningListener((w) => told.push(w.message));';
    const told = await page.run<string[]>(`${listen} ${program("/dist/tokenizers.js")} return told;`);
    expect(told).toEqual([
      expect.stringMatching(/this thread does the work: tokenizer-worker\.js is not beside .*pages\.md/),
    ]);
  } finally {
    await page.close();
  }
});

test("in Node, where idle workers let the process end", async () => {
  const entry = pathToFileURL(join(await builtDist(), "node", "tokenizers.js")).href;
  const code = `
    import { syncBuiltinESMExports } from "node:module";
    import workers from "node:worker_threads";
    let started = 0;
    const { Worker } = workers;
    workers.Worker = class extends Worker {
      constructor(...args) {
        super(...args);
        started++;
      }
    };
    syncBuiltinESMExports();
    ${program(entry)}
    console.log(JSON.stringify({ ...outcome, started }));`;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", code]);
  const { availableParallelism } = await import("node:os");
  expect(JSON.parse(stdout)).toEqual({ ...wanted, started: Math.min(1, availableParallelism() - 1) });
  expect(stderr).toBe("");
});
