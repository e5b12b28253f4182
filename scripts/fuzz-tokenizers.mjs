// Random texts through tokenizers, `node scripts/fuzz-tokenizers.mjs [inputs] [seed] [tokenizer.json …]`: a million
// inputs unless told. Reports crashes, fast paths that differ from the full pipeline, and round trips that are wrong.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { rolldown } from "rolldown";

const [inputs = "1000000", seed = "1", ...files] = process.argv.slice(2);
const dir = resolve(".cache/fuzz-tokenizers");
const bundle = await rolldown({ input: "src/node/tokenizers.ts", platform: "node" });
await bundle.write({ dir, format: "esm", entryFileNames: "tokenizers.mjs" });
await bundle.close();
const { byteTokenizer, loadTokenizer, trainTokenizer } = await import(pathToFileURL(`${dir}/tokenizers.mjs`).href);

let state = Number(seed) >>> 0 || 1;
const random = (below) => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
};

const snippets = [
  ..." \n\t\r",
  "the",
  " The",
  "'s",
  "'LL",
  "don't",
  "ß",
  "é",
  "é",
  "가",
  "각",
  "中文",
  "日本語",
  "ﾊﾟ",
  "１２",
  "123",
  "²",
  "👩‍👩‍👧‍👦",
  "🏽",
  "🇩🇪",
  "▁",
  "Ġ",
  "<s>",
  "</s>",
  "<|endoftext|>",
  "<0x0A>",
  "\u0000",
  "\ufffd",
  "\u200d",
  "\ufeff",
  "\u0301\u0327",
  "\ud800",
  "\udc00",
  "http://a.b/c?d=1",
  "        ",
  "...",
  "—",
  "İ",
  "ς",
];
function text() {
  let out = "";
  for (let n = random(12); n >= 0; n--) {
    const kind = random(8);
    if (kind === 0) out += String.fromCharCode(random(65536));
    else if (kind === 1) out += String.fromCodePoint(random(0x110000));
    else if (kind === 2) out += String.fromCharCode(97 + random(26)).repeat(1 + random(40));
    else out += snippets[random(snippets.length)];
  }
  return out;
}

const corpus = `${snippets.join(" ")} ${"the quick brown fox jumps over the lazy dog ".repeat(20)}`;
const tokenizers = [
  ["bytes", byteTokenizer(), true],
  ["trained BPE", await trainTokenizer(corpus, { vocabSize: 400, specialTokens: ["<|endoftext|>"] }), true],
  ["trained BPE of characters", await trainTokenizer(corpus, { vocabSize: 200, byteLevel: false }), false],
  ["trained WordPiece", await trainTokenizer(corpus, { vocabSize: 200, model: "wordpiece" }), false],
  ["trained Unigram", await trainTokenizer(corpus, { vocabSize: 200, model: "unigram" }), false],
];
for (const file of files) tokenizers.push([file, await loadTokenizer(file), false]);

let wrong = 0;
const started = performance.now();
for (let i = 0; i < Number(inputs); i++) {
  const [name, tokenizer, whole] = tokenizers[i % tokenizers.length];
  const input = text();
  const complain = (what) => {
    if (++wrong <= 20) console.error(`${name}: ${what} for ${JSON.stringify(input)}`);
  };
  try {
    const encoding = tokenizer.encode(input);
    if (whole && tokenizer.decode(encoding.ids, { skipSpecialTokens: false }) !== input.toWellFormed()) {
      complain("wrong round trip");
    }
    if (i % 7 === 0) {
      const row = encoding.row();
      if (String(row.ids) !== String(encoding.ids)) complain("the fast path differs");
      for (const [start, end] of encoding.offsets) {
        if (!(start >= 0 && start <= end && end <= input.length)) complain(`offsets ${start} to ${end}`);
      }
      const stream = tokenizer.decodeStream();
      const out = encoding.ids.map((id) => stream.push(id)).join("") + stream.end();
      if (whole && out !== tokenizer.decode(encoding.ids)) complain("the stream differs");
    }
  } catch (error) {
    complain(error.stack.split("\n").slice(0, 3).join(" | "));
  }
}
console.log(`${inputs} inputs, ${wrong} wrong, ${((performance.now() - started) / 1000).toFixed(0)} s`);
process.exit(wrong === 0 ? 0 : 1);
