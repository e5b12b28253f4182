// `npm run bench [suite …]`: Tenon beside its peers, in one run, each figure in a fresh process. Each suite writes its
// section of bench/RESULTS.md; Node 24 and later have sections of their own, as they compute with wider vectors.
// Peers are dependencies of bench/ alone: `npm install --prefix bench`; PyTorch is that of `python3`, or of TENON_PYTHON.
// Absent ones get a row that says so.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { bundle } from "./bundle.mjs";
import { card, cardOptions } from "./card.mjs";
import { gemmTable, MILLISECONDS, show } from "./gemm.mjs";
import { machineCode, machineCodeOptions } from "./machine-code.mjs";
import { cardTitle, NotMeasured, section } from "./results.mjs";
import { ratio, table as tableOf } from "./tables.mjs";

const {
  positionals: wanted,
  values: { skip, ...options },
} = parseArgs({
  allowPositionals: true,
  options: { skip: { type: "string", default: "" }, ...cardOptions, ...machineCodeOptions },
});
/** Peers left out: `--skip=tfjs,jax` (a step of the wide GPT takes tfjs more than a minute). */
const skipped = skip.split(",").filter(Boolean);
const file = ".cache/bench-tenon.mjs";
mkdirSync(".cache", { recursive: true });
await bundle("bench/tenon.ts", file);

const major = Number(process.versions.node.split(".")[0]);
const fastFlags = major < 22 ? ["--experimental-wasm-relaxed-simd"] : [];
/** Pairs of vectors as one of 256 bits: the same bits, faster. */
const wideFlags = major >= 24 && process.arch === "x64" ? ["--experimental-wasm-revectorize"] : [];

/** Runs a script and parses its last line; undefined (with the reason shown) where it fails. */
function measure(args, label, command = process.execPath, env = {}) {
  try {
    const text = execFileSync(command, args, {
      encoding: "utf8",
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 600_000,
    });
    return JSON.parse(text.trim().split("\n").at(-1));
  } catch (error) {
    console.error(
      `${label}: not measured, ${String(error.stderr ?? error.message)
        .trim()
        .split("\n")
        .at(-1)}`,
    );
    return undefined;
  }
}
/** Our own figures: without them a suite has nothing to tell. */
function ours(job, env = {}) {
  const args = [...(job.numerics === "fast" ? fastFlags : []), ...wideFlags, file, JSON.stringify(job)];
  const result = measure(args, `tenon ${job.suite}`, process.execPath, env);
  if (!result) throw new NotMeasured("as Tenon itself failed, see above");
  return result;
}
const peer = (name, script, ...args) =>
  existsSync("bench/node_modules") && !skipped.includes(name)
    ? measure([`bench/peers/${script}`, name, ...args], `${name}, ${script}`)
    : undefined;

/** The first Python that has PyTorch. */
const python = (process.env.TENON_PYTHON ? [process.env.TENON_PYTHON] : ["/usr/bin/python3", "python3"]).find(
  (command) => spawnSync(command, ["-c", "import torch"]).status === 0,
);
/** Its BLAS has threads of its own, which PyTorch's `set_num_threads` does not reach. */
const torch = (script, threads, ...args) =>
  python &&
  measure([`bench/peers/${script}`, ...args], script, python, {
    OMP_NUM_THREADS: threads,
    OPENBLAS_NUM_THREADS: threads,
    MKL_NUM_THREADS: threads,
  });

/** Takes the lines of the suite that runs. */
let say;
const table = (head, rows) => say(`${tableOf(head, rows)}\n`);

/** Steps of one model in Tenon and its peers; `steps` are how many each takes, the fastest counts. */
function training(model, steps) {
  const jax = peer("jax", "gpt.mjs", JSON.stringify({ ...model, steps: steps.jax }));
  const tfjs = peer("tfjs", "gpt.mjs", JSON.stringify({ ...model, steps: steps.tfjs }));
  let version;
  const rows = [];
  for (const threads of [1, 2]) {
    const pytorch = torch("torch-gpt.py", threads, JSON.stringify({ ...model, steps: steps.own, threads }));
    version ??= pytorch?.version;
    for (const numerics of ["portable", "fast"]) {
      const shapes = [[model.batch * model.context, 4 * model.width, model.width]];
      const product = () => ours({ suite: "gemm", threads, numerics, shapes }).rates[0];
      const before = product();
      const own = ours({ suite: "train", threads, numerics, model, steps: steps.own });
      const gemm = Math.max(before, product());
      rows.push([
        threads,
        numerics,
        show(own.tokensPerSecond),
        `${((100 * own.gflops) / gemm).toFixed(0)}%`,
        `${(own.peak / 2 ** 20).toFixed(0)} MiB`,
        ...[pytorch, jax, tfjs].flatMap((result) => [
          show(result?.tokensPerSecond),
          ratio(own.tokensPerSecond, result?.tokensPerSecond),
        ]),
      ]);
    }
  }
  table(
    [
      "threads",
      "numerics",
      "tenon",
      "of GEMM",
      "peak memory",
      "PyTorch",
      "ratio",
      "jax-js (jit)",
      "ratio",
      "tfjs-wasm",
      "ratio",
    ],
    rows,
  );
  const { layers, heads, width, context, batch } = model;
  say(`${layers} layers, ${heads} heads, ${width} wide, context ${context}, batch ${batch}.`);
  say(
    `PyTorch (${version ?? "absent"}) runs with the threads of the row, jax-js and tfjs-wasm with one: their Node builds have no more.`,
  );
  say(
    `The fastest step counts, of ${steps.own - 2} (Tenon, PyTorch), ${steps.jax - 2} (jax-js) and ${steps.tfjs - 2} (tfjs-wasm), after two.`,
  );
  if (skipped.length > 0) say(`Absent because left out by hand (\`--skip\`): ${skipped.join(", ")}.`);
  say();
}

const suites = {
  gemm() {
    const shapes = [
      [256, 256, 256],
      [512, 512, 512],
      [1024, 1024, 1024],
      [512, 1536, 384],
    ];
    for (const threads of [1, 2]) {
      // Longer than ours measure elsewhere: as long as the peers do.
      const own = (numerics) => ours({ suite: "gemm", threads, numerics, shapes }, { MS: MILLISECONDS });
      const [fast, portable] = [own("fast"), own("portable")];
      const peers = Object.fromEntries(
        ["ort", "jax", "tfjs"].map((name) => [name, peer(name, "gemm.mjs", String(threads), JSON.stringify(shapes))]),
      );
      const pytorch = torch("torch-gemm.py", threads, threads, JSON.stringify(shapes));
      say();
      say(
        `${threads} thread${threads > 1 ? "s" : ""}; onnxruntime-web ${peers.ort?.version ?? "absent"}, jax-js ${peers.jax?.version ?? "absent"}, tfjs-wasm ${peers.tfjs?.version ?? "absent"}, PyTorch ${pytorch?.version ?? "absent"}; roof per thread: fast ${show(fast.roof)}, portable ${show(portable.roof)}`,
      );
      say();
      say(gemmTable({ threads, shapes, fast, portable, peers, pytorch }));
      say();
    }
  },
  train: () =>
    training({ layers: 4, heads: 4, width: 128, context: 64, batch: 12, vocabulary: 65 }, { own: 30, jax: 8, tfjs: 5 }),
  "train-wide": () =>
    training({ layers: 6, heads: 6, width: 384, context: 256, batch: 8, vocabulary: 65 }, { own: 6, jax: 4, tfjs: 3 }),
  decode() {
    const model = { layers: 12, heads: 12, width: 768, context: 1024, batch: 1, vocabulary: 50257 };
    const rows = [1, 2].flatMap((threads) =>
      ["portable", "fast"].map((numerics) => {
        const own = ours({ suite: "decode", threads, numerics, model });
        return [
          threads,
          numerics,
          show(own.tokensPerSecond),
          show(own.bound),
          `${(100 * own.share).toFixed(0)}%`,
          show(own.gigabytesPerSecond),
        ];
      }),
    );
    table(
      [
        "threads",
        "numerics",
        "tokens/s",
        "bound: weights once per token at the rate of our sum",
        "share",
        "GB/s of the sum",
      ],
      rows,
    );
  },

  data() {
    const results = measure(["--expose-gc", "bench/data.mjs", "--json"], "data");
    if (!results?.some(({ unit }) => unit === "MB/s")) throw new NotMeasured("no file was read, see above");
    table(
      [
        "rows, best of fifteen rounds in turn",
        "Tenon, checked",
        "one by one",
        "fastest peer",
        "MB/s",
        "ratio",
        "one by one",
      ],
      results
        .filter(({ unit }) => unit === "MB/s")
        .map(({ title, rates, fastestPeer, ratio: times }) => [
          title,
          show(Math.max(rates.tenon, rates["tenon (count)"] ?? 0)),
          rates["tenon (count)"] ? show(rates.tenon) : "",
          fastestPeer ?? "absent",
          show(rates[fastestPeer]),
          Number.isFinite(times) ? `${times.toFixed(2)}x` : "–",
          rates["tenon (count)"] && fastestPeer ? `${(rates.tenon / rates[fastestPeer]).toFixed(2)}x` : "",
        ]),
    );
    const blocks = results.find(({ unit }) => unit === "tokens/s");
    if (blocks)
      say(`Blocks of tokens, 12 x 64 in memory: ${show(blocks.rates.tenon / 1e6)} million tokens per second.`);
    say();
  },
};

/** What a program of its own prints, as it stands. */
function printed(...args) {
  const { stdout, status, signal } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new NotMeasured(`${args[0]} ended with ${signal ?? status}`);
  return stdout.trim();
}
const inFence = (text) => say(`\`\`\`text\n${text}\n\`\`\``);
Object.assign(suites, {
  tokenizers: () => inFence(printed("bench/tokenizers.mjs")),
  runs: () => inFence(printed("bench/runs.mjs")),
  webgpu: () => say(printed("bench/webgpu.mjs")),
  /** Shows itself while it runs, and writes its section itself, which may be of another machine. */
  card: () => card(options),
  "machine-code": () => machineCode(options),
});

const titles = {
  gemm: "Matrix products, float32, GFLOP/s",
  train: "Training step of the baby GPT: forward, backward, AdamW; float32, tokens per second",
  "train-wide": "Training step of a 384-wide GPT: forward, backward, AdamW; float32, tokens per second",
  decode: "Decoding with a key-value cache, batch 1, GPT-2 124M shape, random weights",
  data: "Reading data",
  tokenizers: "Encoding, MB/s of processor time",
  runs: "What proof costs",
  webgpu: "WebGPU",
  card: cardTitle,
  "machine-code": "Machine code of the kernels for graphics cards",
};
for (const name of wanted.length > 0 ? wanted : Object.keys(suites)) {
  if (!Object.hasOwn(suites, name)) {
    console.error(`bench: no suite "${name}"; there are ${Object.keys(suites).join(", ")}.`);
    process.exit(2);
  }
  const title = wideFlags.length > 0 ? `${titles[name]} (Node ${major}, 256-bit vectors)` : titles[name];
  const measured = await section(title, (own) => {
    say = own;
    return suites[name]();
  });
  if (!measured) process.exitCode = 1;
}
