/** Random tokenizers of all components, and what is saved of others, against Hugging Face's own library. */
import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  byteTokenizer,
  charTokenizer,
  loadTokenizer,
  type Tokenizer,
  type TokenizerDefinition,
  trainTokenizer,
} from "tenon/tokenizers";
import { afterAll, describe, expect, test } from "vitest";
import { data, fixture, hasData, readJson } from "../tokenizers/data.js";
import { numbers, randomDefinition, randomText, vocabularies } from "../tokenizers/random-definition.js";

const isInstalled = existsSync(fileURLToPath(new URL("../../bench/node_modules/tokenizers", import.meta.url)));
if (!isInstalled) console.warn("skipped: comparisons with Hugging Face's library: npm install --prefix bench");

type Case = [text: string, pair: string | null, addSpecialTokens: boolean];
type Answer = { error?: string; rows?: Record<string, unknown>[] };

let child: ChildProcess | undefined;
afterAll(() => child?.kill());

/** What the library says; undefined where it ended its process. Long messages take long: many cases go in parts. */
async function native(definition: unknown, cases: Case[]): Promise<Answer | undefined> {
  const rows: Record<string, unknown>[] = [];
  for (let at = 0; at < cases.length; at += 200) {
    const answer = await ask({ definition: JSON.stringify(definition), cases: cases.slice(at, at + 200) });
    if (answer?.rows === undefined) return answer;
    rows.push(...answer.rows);
  }
  return { rows };
}

function ask(question: { definition: string; cases: Case[] }): Promise<Answer | undefined> {
  child ??= fork(fileURLToPath(new URL("./native-tokenizers.mjs", import.meta.url)), {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  const process = child;
  return new Promise((resolve) => {
    const onExit = () => {
      child = undefined;
      resolve(undefined);
    };
    process.once("exit", onExit);
    process.once("message", (answer) => {
      process.off("exit", onExit);
      resolve(answer as Answer);
    });
    process.send(question);
  });
}

/** The same of ours. */
function rowOf(tokenizer: Tokenizer, [text, pair, addSpecialTokens]: Case): Record<string, unknown> {
  const encoding = tokenizer.encode(text, { textPair: pair ?? undefined, addSpecialTokens, offsetUnit: "codepoint" });
  const { overflow: _, ...row } = encoding.row();
  // The short way without bookkeeping says the same.
  expect(encoding.ids).toEqual(row.ids);
  const decoded = [false, true].map((skipSpecialTokens) => tokenizer.decode(row.ids, { skipSpecialTokens }));
  return { ...row, decoded };
}

describe.skipIf(!isInstalled)("Hugging Face's library says the same", () => {
  test("of random tokenizers", async () => {
    const charsmap: string | undefined = hasData
      ? readJson(`${data}/tokenizers/t5-small/tokenizer.json`).normalizer.precompiled_charsmap
      : undefined;
    const materials = { models: await vocabularies(), charsmap };
    const first = Number(process.env["TENON_SEED"] ?? 1);
    const count = Number(process.env["TENON_SEEDS"] ?? 12_000);
    let compared = 0;
    let ended = 0;
    for (let seed = first; seed < first + count; seed++) {
      const random = numbers(seed);
      const definition = randomDefinition(random, materials);
      const tokenizer = await loadTokenizer(structuredClone(definition));
      if (isAmbiguous(tokenizer)) continue;
      const added = (definition.added_tokens ?? []).map((token) => token.content);
      const cases = Array.from(
        { length: 20 },
        (): Case => [randomText(random, added), random(4) === 0 ? randomText(random, added) : null, random(2) === 0],
      );
      const answer = await native(definition, cases);
      if (answer === undefined) {
        ended++;
        continue;
      }
      expect(answer.error, `seed ${seed}`).toBeUndefined();
      cases.forEach((one, i) => {
        const wanted = (answer.rows as Record<string, unknown>[])[i];
        const what = `seed ${seed}: ${JSON.stringify(one)}`;
        if (wanted["error"]) {
          // With tokens for bytes we do without an unknown token.
          if (!/`unk_id` is missing/.test(String(wanted["error"]))) expect(() => rowOf(tokenizer, one), what).toThrow();
          return;
        }
        const row = rowOf(tokenizer, one);
        // Where several post-processors follow each other, the library's numbers depend on the order of a hash table.
        if (definition.post_processor?.type === "Sequence") row["sequenceIds"] = wanted["sequenceIds"];
        expect(row, what).toEqual(wanted);
        compared++;
      });
    }
    console.log(`${compared} texts compared; the library ended its process ${ended} times`);
    expect(compared).toBeGreaterThan(count * 12);
  });

  test("of what we make ourselves", async () => {
    const random = numbers(7);
    const corpus = Array.from({ length: 300 }, () => randomText(random)).join(" ");
    const cases = Array.from({ length: 1000 }, (): Case => [randomText(random), null, true]);
    for (const tokenizer of [
      byteTokenizer(),
      charTokenizer(corpus),
      await trainTokenizer(corpus, { vocabSize: 500, specialTokens: ["<|end|>"] }),
      await trainTokenizer(corpus, { vocabSize: 500, byteLevel: false }),
      await trainTokenizer(corpus, { vocabSize: 500, model: "wordpiece" }),
      await trainTokenizer(corpus, { vocabSize: 500, model: "unigram" }),
    ]) {
      const { rows } = (await native(tokenizer, cases)) as Answer;
      for (const [i, one] of cases.entries()) expect(rowOf(tokenizer, one), one[0]).toEqual(rows?.[i]);
    }
  });

  // It maps characters by graphemes, and finds `<unk>`, tokens of bytes and what the user defined only where the map
  // leaves them: docs/tokenizers.md, "Known differences".
  const DIFFERENT: Record<string, string[]> = {
    unigram: ["é\u0301", "<unk> text"],
    "unigram-bytes": ["a\nb \n c", "\n", "é\u0301", "か\u3099か", "<unk> text", "<0x41> and <0x0A>"],
    "unigram-suffix": ["é\u0301", "\u0001", "<unk> text"],
    bpe: ["a\nb \n c", "\n", "é\u0301"],
    "bpe-bytes": ["é\u0301", "か\u3099か"],
  };
  type Oracle = { model: string; ids: number[][] };
  const { texts, models } = fixture("sentencepiece.json") as { texts: string[]; models: Record<string, Oracle> };
  test.each(Object.keys(models))("of what is saved of the .model file %s, but for known texts", async (name) => {
    const tokenizer = await loadTokenizer(Uint8Array.from(Buffer.from(models[name].model, "base64")));
    const cases = texts.map((text): Case => [text, null, true]);
    const { rows } = (await native(tokenizer, cases)) as Answer;
    const different = texts.filter((_, i) => String(models[name].ids[i]) !== String(rows?.[i]["ids"]));
    expect(different.map((text) => text.normalize("NFC"))).toEqual(
      DIFFERENT[name].map((text) => text.normalize("NFC")),
    );
  });

  const split = (Regex: string) => ({
    pre_tokenizer: { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false },
  });
  const components: Partial<TokenizerDefinition>[] = [
    split("\\p{L}+|\\p{N}+|\\p{M}+|\\p{P}+|\\p{S}+"),
    split("\\p{Lu}+|\\p{Ll}+|\\p{Lm}+|\\p{Lo}+|\\w+|\\s+"),
    { pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true } },
    ...["Whitespace", "BertPreTokenizer", "UnicodeScripts"].map((type) => ({ pre_tokenizer: { type } })),
    { pre_tokenizer: { type: "Digits", individual_digits: true } },
    ...["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"].map((type) => ({ normalizer: { type } })),
    { normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, lowercase: true } },
  ];
  test.each(components)("of all characters of Unicode: %j", async (component) => {
    const cases: Case[] = [];
    for (let code = 0; code < 0x33500; code += 8) {
      const characters = Array.from({ length: 8 }, (_, i) => code + i).filter((one) => one < 0xd800 || one > 0xdfff);
      // Letters and digits around a character show where it belongs.
      cases.push([characters.map((one) => `a${String.fromCodePoint(one)}1`).join("中"), null, false]);
    }
    const { pre_tokenizer, normalizer } = component;
    const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
    const definition: TokenizerDefinition = {
      ...byteTokenizer().toJSON(),
      normalizer: normalizer && { strip_accents: null, ...normalizer },
      pre_tokenizer: { type: "Sequence", pretokenizers: [pre_tokenizer, bytes].filter((part) => part !== undefined) },
    };
    if (pre_tokenizer?.type === "ByteLevel") definition.pre_tokenizer = pre_tokenizer;
    const tokenizer = await loadTokenizer(structuredClone(definition));
    const { rows } = (await native(definition, cases)) as Answer;
    const different = cases.filter(
      (one, i) => JSON.stringify(sorted(rowOf(tokenizer, one))) !== JSON.stringify(sorted(rows?.[i] ?? {})),
    );
    expect(different).toEqual([]);
  });
});

const sorted = (row: Record<string, unknown>) => Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1));

/** Two tokens with one normalized spelling: which of them the library finds is decided by a hash table. */
function isAmbiguous(tokenizer: Tokenizer): boolean {
  const { added_tokens = [] } = tokenizer.toJSON();
  const spellings = added_tokens
    .filter((token) => token.normalized)
    .map((token) => tokenizer.tokenOf(tokenizer.idOf(token.content) as number));
  return new Set(spellings).size < spellings.length || spellings.includes("");
}
