/** A million random texts: no crash, no difference between the short and the long way, no wrong round trip. */
import { readdirSync } from "node:fs";
import { byteTokenizer, loadTokenizer, type Tokenizer, trainTokenizer } from "tenon/tokenizers";
import { expect, test } from "vitest";
import { data, hasData, readJson } from "../tokenizers/data.js";
import { numbers, randomText, snippets } from "../tokenizers/random-definition.js";

const INPUTS = Number(process.env["TENON_INPUTS"] ?? 1_000_000);
const SEED = Number(process.env["TENON_SEED"] ?? 1);

const corpus = `${snippets.join(" ")} ${"the quick brown fox jumps over the lazy dog ".repeat(20)}`;

/** Name, tokenizer, and whether every text comes back whole. */
async function tokenizers(): Promise<[string, Tokenizer, boolean][]> {
  const oracle = `${data}/tokenizer_oracle/dev`;
  const files = hasData ? readdirSync(oracle).filter((name) => name.endsWith(".json") && name !== "texts.json") : [];
  const ours: [string, Tokenizer, boolean][] = [
    ["bytes", byteTokenizer(), true],
    ["BPE", await trainTokenizer(corpus, { vocabSize: 400, specialTokens: ["<|endoftext|>"] }), true],
    ["BPE of characters", await trainTokenizer(corpus, { vocabSize: 200, byteLevel: false }), false],
    ["WordPiece", await trainTokenizer(corpus, { vocabSize: 200, model: "wordpiece" }), false],
    ["Unigram", await trainTokenizer(corpus, { vocabSize: 200, model: "unigram" }), false],
  ];
  for (const file of files) {
    const { tokenizer } = readJson(`${oracle}/${file}`);
    ours.push([tokenizer, await loadTokenizer(`${data}/${tokenizer}`), false]);
  }
  return ours;
}

test(`${INPUTS} inputs`, async () => {
  const random = numbers(SEED);
  const list = await tokenizers();
  const wrong: string[] = [];
  for (let i = 0; i < INPUTS && wrong.length < 20; i++) {
    const [name, tokenizer, whole] = list[i % list.length];
    // Lone surrogates as well, which no well-formed text has.
    const text = randomText(random) + (random(20) === 0 ? String.fromCharCode(0xd800 + random(0x800)) : "");
    const complain = (what: string) => wrong.push(`${name}: ${what} for ${JSON.stringify(text)}`);
    try {
      const encoding = tokenizer.encode(text);
      const formed = text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
      if (whole && tokenizer.decode(encoding.ids, { skipSpecialTokens: false }) !== formed)
        complain("wrong round trip");
      if (i % 7 > 0) continue;
      if (String(encoding.row().ids) !== String(encoding.ids)) complain("the short way differs");
      for (const [start, end] of encoding.offsets) {
        if (!(start >= 0 && start <= end && end <= text.length)) complain(`offsets ${start} to ${end}`);
      }
      const stream = tokenizer.decodeStream();
      const pushed = encoding.ids.map((id) => stream.push(id)).join("") + stream.end();
      if (whole && pushed !== tokenizer.decode(encoding.ids)) complain("the stream differs");
    } catch (error) {
      complain((error as Error).stack?.split("\n").slice(0, 3).join(" | ") ?? "an error");
    }
  }
  expect(wrong).toEqual([]);
});
