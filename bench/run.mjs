// `npm run bench [suite …]`: Tenon beside its peers, in one run, each figure in a fresh process. Each suite writes its
// section of bench/RESULTS.md; Node 24 and later have sections of their own, as they compute with wider vectors.
// Peers are dependencies of bench/ alone: `npm install --prefix bench`. Absent ones get a row that says so.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { rolldown } from "rolldown";
import { writeSection } from "./results.mjs";

const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith("--"));
const file = ".cache/bench-tenon.mjs";
mkdirSync(".cache", { recursive: true });
const bundle = await rolldown({ input: "bench/tenon.ts", platform: "node", external: (id) => !/^[./]/.test(id) });
await bundle.write({ file, format: "esm", codeSplitting: false });
await bundle.close();

const major = Number(process.versions.node.split(".")[0]);
const fastFlags = major < 22 ? ["--experimental-wasm-relaxed-simd"] : [];
/** Pairs of vectors as one of 256 bits: the same bits, faster. */
const wideFlags = major >= 24 && process.arch === "x64" ? ["--experimental-wasm-revectorize"] : [];

/** Runs a script and parses its last line; undefined (with the reason shown) where it fails. */
function measure(args, label) {
  try {
    const text = execFileSync(process.execPath, args, {
      encoding: "utf8",
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
const ours = (job) =>
  measure(
    [...(job.numerics === "fast" ? fastFlags : []), ...wideFlags, file, JSON.stringify(job)],
    `tenon ${job.suite}`,
  );
const peer = (script, ...args) =>
  existsSync("bench/node_modules") ? measure([`bench/peers/${script}`, ...args], script) : undefined;

let lines = [];
const say = (line = "") => {
  lines.push(line);
  console.log(line);
};
const show = (value, digits = 1) =>
  value === undefined ? "absent" : value >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(digits);
const ratio = (a, b) => (a === undefined || b === undefined ? "–" : `${(a / b).toFixed(2)}x`);
const table = (head, rows) => {
  say(`| ${head.join(" | ")} |`);
  say(`|${head.map((_, i) => (i ? "---:" : "---")).join("|")}|`);
  for (const row of rows) say(`| ${row.join(" | ")} |`);
  say();
};

const suites = {
  gemm() {
    const shapes = [
      [256, 256, 256],
      [512, 512, 512],
      [1024, 1024, 1024],
      [512, 1536, 384],
    ];
    for (const threads of [1, 2]) {
      const fast = ours({ suite: "gemm", threads, numerics: "fast", shapes });
      const portable = ours({ suite: "gemm", threads, numerics: "portable", shapes });
      const peers = Object.fromEntries(
        ["ort", "jax", "tfjs"].map((name) => [name, peer("gemm.mjs", name, String(threads), JSON.stringify(shapes))]),
      );
      const again = ours({ suite: "gemm", threads, numerics: "fast", shapes });
      say();
      say(
        `${threads} thread${threads > 1 ? "s" : ""}; onnxruntime-web ${peers.ort?.version ?? "absent"}, jax-js ${peers.jax?.version ?? "absent"}, tfjs-wasm ${peers.tfjs?.version ?? "absent"}; roof per thread: fast ${show(fast?.roof)}, portable ${show(portable?.roof)}`,
      );
      say();
      table(
        [
          "m x n x k",
          "tenon fast",
          "tenon portable",
          "of its roof",
          "onnxruntime-web",
          "jax-js",
          "tfjs-wasm",
          "fast / best peer",
        ],
        shapes.map((shape, i) => {
          const rates = [peers.ort, peers.jax, peers.tfjs].map((result) => result?.rates[i]);
          const best = Math.max(...rates.filter((rate) => rate !== undefined));
          const own = Math.max(fast?.rates[i] ?? 0, again?.rates[i] ?? 0);
          const share = portable && `${((100 * portable.rates[i]) / (portable.roof * threads)).toFixed(0)}%`;
          return [
            shape.join(" x "),
            show(own),
            show(portable?.rates[i]),
            share ?? "–",
            ...rates.map((rate) => show(rate)),
            ratio(own, best),
          ];
        }),
      );
    }
  },
  train() {
    const models = {
      "baby GPT (4 layers, 4 heads, 128 wide, context 64, batch 12)": {
        layers: 4,
        heads: 4,
        width: 128,
        context: 64,
        batch: 12,
        vocabulary: 65,
      },
      "6 layers, 6 heads, 384 wide, context 256, batch 8": {
        layers: 6,
        heads: 6,
        width: 384,
        context: 256,
        batch: 8,
        vocabulary: 65,
      },
    };
    const rows = [];
    for (const [name, model] of Object.entries(models)) {
      const small = model.width < 200;
      const jax = peer("jax-gpt.mjs", JSON.stringify({ ...model, steps: small ? 8 : 4 }));
      const tfjs = peer("tfjs-gpt.mjs", JSON.stringify({ ...model, steps: small ? 5 : 3 }));
      for (const threads of [1, 2]) {
        for (const numerics of ["portable", "fast"]) {
          const shapes = [[model.batch * model.context, 4 * model.width, model.width]];
          const gemm = ours({ suite: "gemm", threads, numerics, shapes });
          const own = ours({ suite: "train", threads, numerics, model, steps: small ? 30 : 6 });
          const share = own && gemm ? `${((100 * own.gflops) / gemm.rates[0]).toFixed(0)}%` : "–";
          rows.push([
            name,
            threads,
            numerics,
            show(own?.tokensPerSecond),
            share,
            own ? `${(own.peak / 2 ** 20).toFixed(0)} MiB` : "–",
            show(jax?.tokensPerSecond),
            ratio(own?.tokensPerSecond, jax?.tokensPerSecond),
            show(tfjs?.tokensPerSecond),
            ratio(own?.tokensPerSecond, tfjs?.tokensPerSecond),
          ]);
        }
      }
    }
    table(
      [
        "model",
        "threads",
        "numerics",
        "tenon",
        "of GEMM",
        "peak memory",
        "jax-js (jit)",
        "ratio",
        "tfjs-wasm",
        "ratio",
      ],
      rows,
    );
    say(
      "Peers run with the threads their Node builds use (one). PyTorch: absent (no Python packages on this machine).",
    );
    say();
  },
  decode() {
    const model = { layers: 12, heads: 12, width: 768, context: 1024, batch: 1, vocabulary: 50257 };
    const rows = [1, 2].flatMap((threads) =>
      ["portable", "fast"].map((numerics) => {
        const own = ours({ suite: "decode", threads, numerics, model });
        return [
          threads,
          numerics,
          show(own?.tokensPerSecond),
          show(own?.bound),
          own ? `${(100 * own.share).toFixed(0)}%` : "–",
          show(own?.gigabytesPerSecond),
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
    const results = measure(["--expose-gc", "bench/data.mjs", "--json"], "data") ?? [];
    table(
      ["rows, best of five rounds in turn", "Tenon, checked", "fastest peer", "MB/s", "ratio"],
      results
        .filter(({ unit }) => unit === "MB/s")
        .map(({ title, rates, fastestPeer, ratio: times }) => [
          title,
          show(Math.max(rates.tenon, rates["tenon (count)"] ?? 0)),
          fastestPeer ?? "absent",
          show(rates[fastestPeer]),
          Number.isFinite(times) ? `${times.toFixed(2)}x` : "–",
        ]),
    );
    const blocks = results.find(({ unit }) => unit === "tokens/s");
    if (blocks)
      say(`Blocks of tokens, 12 x 64 in memory: ${show(blocks.rates.tenon / 1e6)} million tokens per second.`);
    say();
  },
};

/** A suite that is a program of its own, its output as it stands. */
const program =
  (...args) =>
  () => {
    const text = execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
    say(`\`\`\`text\n${text.trim()}\n\`\`\``);
  };
Object.assign(suites, {
  tokenizers: program("bench/tokenizers.mjs"),
  runs: program("bench/runs.mjs"),
  webgpu: () =>
    say(
      execFileSync(process.execPath, ["bench/webgpu.mjs"], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }),
    ),
});

const titles = {
  gemm: "Matrix products, float32, GFLOP/s",
  train: "Training step: forward, backward, AdamW; float32, tokens per second",
  decode: "Decoding with a key-value cache, batch 1, GPT-2 124M shape, random weights",
  data: "Reading data",
  tokenizers: "Encoding, MB/s of processor time",
  runs: "What proof costs",
  webgpu: "WebGPU",
};
for (const name of wanted.length > 0 ? wanted : Object.keys(suites)) {
  if (!Object.hasOwn(suites, name)) {
    console.error(`bench: no suite "${name}"; there are ${Object.keys(suites).join(", ")}.`);
    process.exit(2);
  }
  const title = wideFlags.length > 0 ? `${titles[name]} (Node ${major}, 256-bit vectors)` : titles[name];
  console.log(`\n## ${title}\n`);
  lines = [];
  suites[name]();
  writeSection(title, lines.join("\n"));
}
