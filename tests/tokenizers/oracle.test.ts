/** Real tokenizers against Hugging Face's library: ids, text, offsets; and 141 splitting expressions. */
import { existsSync, readdirSync } from "node:fs";
import { loadTokenizer, type Tokenizer } from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { splitRanges } from "../../src/tokenizers/pre-tokenizers.js";
import { Regex } from "../../src/tokenizers/regex/regex.js";
import { data, hasData, readJson } from "./data.js";

const loaded = new Map<string, Promise<Tokenizer>>();
const load = (path: string) => {
  const tokenizer = loaded.get(path) ?? loadTokenizer(`${data}/${path}`);
  loaded.set(path, tokenizer);
  return tokenizer;
};

describe.skipIf(!hasData)("the oracle", () => {
  const folder = `${data}/tokenizer_oracle/dev`;
  const names = hasData ? readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "texts.json") : [];
  const texts: string[] = hasData ? readJson(`${folder}/texts.json`) : [];

  test.each(names)("%s: ids, decoded text and offsets of every text", async (name) => {
    const wanted = readJson(`${folder}/${name}`);
    const tokenizer = await load(wanted.tokenizer);
    texts.forEach((text, i) => {
      const encoding = tokenizer.encode(text, { addSpecialTokens: false, offsetUnit: "codepoint" });
      expect(encoding.ids, JSON.stringify(text)).toEqual(wanted.ids[i]);
      expect(tokenizer.decode(encoding.ids, { skipSpecialTokens: false })).toBe(wanted.decoded[i] ?? text);
      if (i < wanted.offsets_first.length) expect(encoding.offsets).toEqual(wanted.offsets_first[i]);
      // The pipeline with all its bookkeeping says the same as the fast path.
      if (i % 8 === 0) expect(encoding.row().ids).toEqual(encoding.ids);
      const special = wanted.ids_with_special_first8[i];
      if (special) expect(tokenizer.encode(text).ids).toEqual(special);
    });
  });

  test.each(["hf_js", "llama_cpp", "tiktoken"])("third-party vectors: %s", async (name) => {
    let compared = 0;
    for (const row of readJson(`${data}/tokenizer_vectors/dev/${name}.json`).cases) {
      if (!row.local || !existsSync(`${data}/${row.local}`)) continue;
      const tokenizer = await load(row.local);
      const options = { textPair: row.text_pair, addSpecialTokens: row.add_special_tokens };
      expect(tokenizer.encode(row.text, options).ids, `${row.local} ${JSON.stringify(row.text)}`).toEqual(row.ids);
      if (row.tokens && !row.text_pair) {
        expect(tokenizer.encode(row.text, { addSpecialTokens: false }).tokens).toEqual(row.tokens);
      }
      compared++;
    }
    expect(compared).toBeGreaterThan(100);
  });

  test("splitting expressions cut as Oniguruma does", () => {
    const { defaults, patterns, additionalCases } = readJson(`${data}/tokenizer_vectors/dev/splitRegexPatterns.json`);
    const { tokens } = readJson(`${data}/tokenizer_vectors/dev/splitRegexOracle.json`);
    const byId = new Map(patterns.map((row: { id: string; pattern: string }) => [row.id, row.pattern]));
    const cases = [...patterns, ...additionalCases].map((row) => ({ ...defaults, ...row }));
    expect(cases.length).toBe(146);
    for (const { id, name, patternId, inputs, behavior, invert, ...rest } of cases) {
      const pattern = rest.pattern ?? byId.get(patternId);
      const wanted = tokens[name ?? id] ?? tokens[id];
      const regex = new Regex(pattern);
      inputs.forEach((text: string, i: number) => {
        const ranges = splitRanges(text, regex.matches(text), behavior, invert).filter(([start, end]) => start < end);
        expect(
          ranges.map(([start, end]) => text.slice(start, end)),
          `${pattern} on ${JSON.stringify(text)}`,
        ).toEqual(wanted[i]);
      });
    }
  });
});
