// Encoding rates of `tenon/tokenizers` beside its peers, in one run: `node bench/tokenizers.mjs [--json]`.
// Peers are dependencies of bench/ alone: `npm install --prefix bench`. Data: the public files beside the project.
// Rates are bytes per second of processor time: on a busy machine the clock measures the neighbours. Each contestant
// encodes each text in processes of its own (`--one=<title>|<name>`), so that nobody is cold in a heap that another has
// filled: three times, the median of the first passes and the best of the later ones.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle } from "./bundle.mjs";

const data = resolve(process.env.TENON_DATA ?? "../shared/data");
if (!existsSync(data)) {
  console.error(`bench tokenizers: ${data} is absent (set TENON_DATA).`);
  process.exit(3);
}
const one = process.argv.find((arg) => arg.startsWith("--one="))?.slice("--one=".length);
const require = createRequire(resolve("bench/package.json"));
/** A function that loads a peer, so that processes load none but their own; undefined where it is not installed. */
const optional = (name) => {
  if (
    existsSync(
      `bench/node_modules/${name
        .split("/")
        .slice(0, name.startsWith("@") ? 2 : 1)
        .join("/")}`,
    )
  )
    return () => require(name);
  if (!one) console.log(`not installed: ${name}`);
  return undefined;
};

// Hugging Face's trainer counts words in threads of its own; one, as here.
process.env.RAYON_NUM_THREADS = "1";
const dir = resolve(".cache/bench-tokenizers");
if (!one) {
  await bundle("src/node/tokenizers.ts", `${dir}/tokenizers.mjs`, { external: [], parts: true });
}
const { loadTokenizer, trainTokenizer } = await import(pathToFileURL(`${dir}/tokenizers.mjs`).href);

const gpt = optional("gpt-tokenizer/encoding/r50k_base");
const tiktoken = optional("tiktoken");
const jsTiktoken = optional("js-tiktoken");
const native = optional("tokenizers");
const huggingface = optional("@huggingface/tokenizers");

const read = (path) => readFileSync(`${data}/${path}`, "utf8");
const flat = (text) => Buffer.from(text).toString();
const stories = [
  "text/tinystories/tinystories.txt",
  "text/tinyshakespeare/input.txt",
  "text/taylorswift/taylorswift.txt",
];
const english = flat(stories.map(read).join("").repeat(3).slice(0, 5e6));
const udhr = readdirSync(`${data}/text/udhr`).filter((name) => name !== "SOURCE.txt");
const multilingual = flat(
  udhr
    .map((name) => read(`text/udhr/${name}`))
    .join("")
    .repeat(5),
);

const SLOW = ["js-tiktoken", "tokenizers (native)", "@huggingface/tokenizers"];
const results = [];
/** MB/s of processor time of each pass. Peers below a megabyte a second get a part of the text. */
async function passes(name, make, text) {
  const run = await make();
  const found = [];
  const input = SLOW.includes(name) ? flat(text.slice(0, 300_000)) : text;
  const bytes = Buffer.byteLength(input);
  for (let round = 0; round < 3; round++) {
    const before = process.cpuUsage();
    await run(input);
    const { user, system } = process.cpuUsage(before);
    found.push(bytes / (user + system));
  }
  return found;
}

const PROCESSES = 3;
async function rates(title, text, contestants) {
  const row = { title };
  for (const [name, make] of Object.entries(contestants)) {
    if (!make) continue;
    const place = `${title}|${name}`;
    if (one === place) console.log(JSON.stringify(await passes(name, make, text)));
    if (one) continue;
    const found = Array.from({ length: PROCESSES }, () =>
      JSON.parse(execFileSync(process.execPath, [process.argv[1], `--one=${place}`], { encoding: "utf8" })),
    );
    const cold = found.map(([first]) => first).sort((a, b) => a - b);
    row[name] = { cold: cold[PROCESSES >> 1], warm: Math.max(...found.flatMap(([, ...later]) => later)) };
  }
  if (one) return;
  results.push(row);
  const peers = Object.entries(row).filter(([name]) => name !== "title" && name !== "tenon");
  const ratio = (kind) => (row.tenon[kind] / Math.max(...peers.map(([, rate]) => rate[kind]))).toFixed(2);
  const list = [["tenon", row.tenon], ...peers].map(
    ([name, { cold, warm }]) => `${name} ${cold.toFixed(1)}/${warm.toFixed(1)}`,
  );
  console.log(
    `${title}: ${list.join(", ")} MB/s cold/warm${peers.length > 0 ? `; ratio ${ratio("cold")}/${ratio("warm")}` : ""}`,
  );
}

const ours = (path) => async () => {
  const tokenizer = await loadTokenizer(`${data}/${path}/tokenizer.json`);
  return (text) => tokenizer.encode(text, { addSpecialTokens: false });
};
const theirs = (path) =>
  native &&
  (() => {
    const definition = JSON.parse(read(`${path}/tokenizer.json`));
    const { Tokenizer } = native();
    const tokenizer = Tokenizer.fromString(JSON.stringify({ ...definition, truncation: null, padding: null }));
    // Whole texts take minutes; lines are what the library is made for.
    return async (text) => {
      for (const line of text.split("\n")) await tokenizer.encode(line, undefined, { addSpecialTokens: false });
    };
  });
const javascript = (path) =>
  huggingface &&
  (() => {
    const { Tokenizer } = huggingface();
    const tokenizer = new Tokenizer(JSON.parse(read(`${path}/tokenizer.json`)), {});
    return (text) => {
      for (const line of text.split("\n")) tokenizer.encode(line, { add_special_tokens: false });
    };
  });

for (const [language, text] of [
  ["English", english],
  ["56 languages", multilingual],
]) {
  await rates(`GPT-2, ${language}`, text, {
    tenon: ours("tokenizers/gpt2"),
    "gpt-tokenizer": gpt && (() => gpt().encode),
    "tiktoken (WASM)":
      tiktoken &&
      (() => {
        const encoding = tiktoken().get_encoding("r50k_base");
        return (input) => encoding.encode_ordinary(input);
      }),
    "js-tiktoken":
      jsTiktoken &&
      (() => {
        const encoding = jsTiktoken().getEncoding("r50k_base");
        return (input) => encoding.encode(input);
      }),
    "tokenizers (native)": theirs("tokenizers/gpt2"),
  });
  for (const [name, path] of [
    ["Qwen2", "tokenizers_derived/qwen2"],
    ["T5 (Unigram)", "tokenizers/t5-small"],
  ]) {
    await rates(`${name}, ${language}`, text, {
      tenon: ours(path),
      "@huggingface/tokenizers": javascript(path),
      "tokenizers (native)": theirs(path),
    });
  }
}

if (one) process.exit(0);
const started = [performance.now(), process.cpuUsage()];
await loadTokenizer(`${data}/tokenizers_derived/qwen2/tokenizer.json`);
const [waited, { user, system }] = [performance.now() - started[0], process.cpuUsage(started[1])];
const used = ((user + system) / 1000).toFixed(0);
console.log(`loading Qwen2's tokenizer.json: ${waited.toFixed(0)} ms, ${used} ms of processor time`);
const corpus = english.repeat(2);
const seconds = async (work) => {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) / 1e6).toFixed(2);
};
console.log(`training an 8k BPE on 10 MB: ${await seconds(() => trainTokenizer(corpus, { vocabSize: 8000 }))} s`);
if (native) {
  // The package trains from files and lets no size be chosen: 30,000 tokens, its default.
  const file = `${dir}/corpus.txt`;
  writeFileSync(file, corpus);
  const blank = native().Tokenizer.fromString(JSON.stringify(await trainTokenizer("a", { vocabSize: 257 })));
  const own = await seconds(() => trainTokenizer(corpus, { vocabSize: 30000 }));
  const other = await seconds(() => blank.train([file]));
  console.log(
    `training a 30k BPE on 10 MB: tenon ${own} s, tokenizers (native, one thread) ${other} s, which has ${blank.getVocabSize()} tokens`,
  );
}
if (process.argv.includes("--json")) console.log(JSON.stringify(results));
