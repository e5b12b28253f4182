/**
 * What proof costs: `node bench/runs.mjs [page]`. Replay beside the run it repeats; hashing and logging beside training (bytes
 * and records times their measured unit cost, over the time of the steps); hashing 1 GiB of weights, in Node and in a
 * page. Node's figures are processor time of one thread, which other work on the machine disturbs least; the page's are
 * told beside what the same browser does in the same minute without us.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright";
import { browserLaunch } from "../scripts/browser.mjs";
import { buildIfStale } from "../scripts/build.mjs";

await buildIfStale();
const { weightsHash } = await import("../dist/node/artifacts.js");
const { loadRun, replay, startRun, train } = await import("../dist/node/runs.js");

const folder = mkdtempSync(join(tmpdir(), "tenon-costs-"));
const store = join(folder, "runs");
const clock = () => performance.now();
const onlyPage = process.argv[2] === "page";
/** Seconds of processor time of this process. */
const timed = async (work) => {
  const began = process.cpuUsage();
  const value = await work();
  const { user, system } = process.cpuUsage(began);
  return [(user + system) / 1e6, value];
};
const rows = [];
const row = (what, figure, goal) => {
  rows.push(`| ${what} | ${figure} | ${goal} |`);
  console.error(`${what}: ${figure} (${goal})`);
};

/** `npm start`'s model on a shorter corpus; checkpoints at the default interval. */
const config = (steps) => ({
  data: { corpus: "tales", length: 100_000 },
  model: { model_type: "gpt2", n_layer: 2, n_head: 4, n_embd: 64 },
  training: { steps, batchSize: 8, blockSize: 32, dropout: 0.1, evalEvery: 250, sampleEvery: 0 },
  device: "cpu",
  threads: 1,
});

async function inNode() {
  // Replay beside run, turn by turn; the least disturbed of each counts.
  const times = { run: [], replay: [] };
  let result;
  for (let round = 0; round < 2; round++) {
    const [seconds, made] = await timed(() => train(config(500), { store, clock }));
    times.run.push(seconds);
    result = made;
    const [again, answer] = await timed(() => replay(made.executionId, { store, clock }));
    times.replay.push(again);
    if (answer.verdict !== "equal bits") throw new Error(answer.statement);
  }
  const [run, again] = [Math.min(...times.run), Math.min(...times.replay)];
  row("replay of a 500-step run", `${(again / run).toFixed(2)} × the run`, "at most 1.1 ×");

  // What a run of that kind hashes and logs.
  const loaded = await loadRun(result.executionId, { store });
  const weights = { w: { dtype: "F32", shape: [1 << 24], data: new Float32Array(1 << 24).fill(0.5) } };
  const perByte = (await timed(() => weightsHash(weights)))[0] / (4 << 24);
  let bytes = 0;
  for (const { files } of await loaded.checkpoints()) for (const { size } of Object.values(files)) bytes += size;
  const [{ files }] = await loaded.checkpoints();
  bytes += 2 * files["model.safetensors"].size; // initial and final weights
  const records = (await loaded.metrics()).length + (await loaded.timing()).length;
  const many = 20_000;
  const [logging] = await timed(async () => {
    const own = await startRun({ costs: true }, { store, codeVersion: "1" });
    for (let step = 1; step <= many; step++) own.log({ loss: 1 / step, learningRate: 1e-3, gradNorm: 2 / step }, step);
    await own.finish();
  });
  const cost = bytes * perByte + (records * logging) / many;
  row(
    `hashing ${(bytes / 1e6).toFixed(1)} MB and logging ${records} records`,
    `${((100 * cost) / run).toFixed(2)} % of 500 steps`,
    "under 2 %",
  );

  // 1 GiB of weights in Node.
  const quarter = new Float32Array(1 << 26).fill(0.25);
  const large = Object.fromEntries(
    ["a", "b", "c", "d"].map((k) => [k, { dtype: "F32", shape: [1 << 26], data: quarter }]),
  );
  const rates = [];
  for (let round = 0; round < 2; round++) rates.push(2 ** 30 / 1e6 / (await timed(() => weightsHash(large)))[0]);
  row("hashing 1 GiB of weights in Node", `${Math.max(...rates).toFixed(0)} MB/s`, "at least 400 MB/s");
}

try {
  if (!onlyPage) await inNode();
  await inPage();
} finally {
  rmSync(folder, { recursive: true });
}
console.log("| cost | measured | goal |\n| --- | --- | --- |");
console.log(rows.join("\n"));
process.exit(0);

/** The same in Chromium, in a worker: the browser's digest, then our stream; and how long the page was kept waiting. */
async function inPage() {
  const launch = browserLaunch();
  if (!launch) return console.error("in a page: not measured, no browser");
  const dist = fileURLToPath(new URL("../dist/", import.meta.url));
  const tensors = `(floats) => {
    const data = new Float32Array(floats).fill(0.25);
    return Object.fromEntries(["a", "b", "c", "d"].map((k) => [k, { dtype: "F32", shape: [floats], data }]));
  }`;
  // Up to 1 GiB of weights is hashed by the browser at once; above that as a stream, by ours.
  const worker = `
    import { weightsHash } from "/artifacts.js";
    const tensors = ${tensors};
    const rate = async (bytes, work) => {
      const began = performance.now();
      await work();
      return bytes / 1e3 / (performance.now() - began);
    };
    const hashing = async (floats) => {
      const given = tensors(floats);
      const once = () => rate(16 * floats, () => weightsHash(given));
      return Math.max(await once(), await once());
    };
    const bare = new Uint8Array(1 << 28).fill(7);
    const digest = await rate(bare.length, () => crypto.subtle.digest("SHA-256", bare));
    postMessage([await hashing(1 << 26), await hashing((1 << 26) + (1 << 21)), digest]);`;
  const inWorker = `new Promise((resolve) => {
    new Worker("/worker.js", { type: "module" }).onmessage = ({ data }) => resolve(data);
  })`;
  /** The longest time that no other event had its turn while the page itself hashes. */
  const longestGap = (floats) => `(async () => {
    const { weightsHash } = await import("/artifacts.js");
    const given = (${tensors})(${floats});
    let longest = 0;
    let last = performance.now();
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
      port2.postMessage(0);
    };
    port2.postMessage(0);
    const during = async (work) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      longest = 0;
      const began = performance.now();
      await work();
      return [longest, performance.now() - began];
    };
    // The least disturbed of four rounds: other work on the machine pauses a page too.
    const rounds = [];
    for (let round = 0; round < 4; round++) {
      const [hashing, time] = await during(() => weightsHash(given));
      rounds.push([hashing, (await during(() => new Promise((resolve) => setTimeout(resolve, time))))[0]]);
    }
    port1.close();
    return [0, 1].map((i) => Math.min(...rounds.map((round) => round[i])));
  })()`;
  const extra = { "/": "<!doctype html>", "/worker.js": worker };
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://localhost").pathname;
    const body = extra[path] ?? (await readFile(join(dist, path)).catch(() => undefined));
    const type = path.endsWith(".js") ? "text/javascript" : "text/html";
    response.writeHead(body === undefined ? 404 : 200, { "Content-Type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  const browser = await chromium.launch(launch);
  const page = await browser.newPage();
  await page.goto(`http://localhost:${server.address().port}/`);
  const [native, stream, digest] = await page.evaluate(inWorker);
  row(
    "hashing 1 GiB in a worker by the browser",
    `${native.toFixed(0)} MB/s (its bare digest: ${digest.toFixed(0)})`,
    "at least 400 MB/s",
  );
  row("the same as a stream, by Tenon", `${stream.toFixed(0)} MB/s`, "at least 200 MB/s");
  const [hashing, idle] = await page.evaluate(longestGap(1 << 24));
  row(
    "longest pause of a page that hashes 256 MiB itself",
    `${hashing.toFixed(0)} ms (idle: ${idle.toFixed(0)})`,
    "at most 50 ms",
  );
  await browser.close();
  server.close();
}
