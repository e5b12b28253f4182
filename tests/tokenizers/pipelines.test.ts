/** Random pipelines of every component on random texts, as Hugging Face's library treats them. */
import { loadTokenizer } from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { fixture } from "./data.js";

const { pipelines, models, truncation } = fixture("pipelines.json");

describe("pipelines", () => {
  type Pipeline = { definition: { model: number }; cases: Record<string, never>[] };

  test.each((pipelines as Pipeline[]).map((row, i): [number, Pipeline] => [i, row]))("%i", async (_, row) => {
    const { definition, cases } = row;
    const tokenizer = await loadTokenizer({ ...definition, model: models[definition.model] });
    for (const { text, pair, special, decoded, ...wanted } of cases) {
      const encoding = tokenizer.encode(text, { textPair: pair, addSpecialTokens: special, offsetUnit: "codepoint" });
      const { ids, tokens, offsets, typeIds, wordIds: words } = encoding;
      expect({ ids, tokens, offsets, typeIds, words }, JSON.stringify(text)).toEqual(wanted);
      expect(encoding.row().ids).toEqual(ids);
      expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(decoded);
    }
  });
});

test("truncation, overflow and padding", async () => {
  const tokenizer = await loadTokenizer(truncation.definition);
  const lower = (name: string) => name[0].toLowerCase() + name.slice(1);
  for (const row of truncation.cases) {
    const { maxLength, stride, direction } = row;
    const encode = () =>
      tokenizer.encode(row.text, {
        textPair: row.pair,
        truncation: { maxLength, stride, direction, strategy: lower(row.strategy) as never },
        padding: row.padLen && { length: row.padLen, direction: row.direction, id: 9, typeId: 3, token: "P" },
      });
    if (row.error) {
      expect(encode, JSON.stringify(row)).toThrow(/truncation/);
      continue;
    }
    const shape = (encoding: ReturnType<typeof encode>) => ({
      ids: encoding.ids,
      tokens: encoding.tokens,
      offsets: encoding.offsets,
      typeIds: encoding.typeIds,
      mask: encoding.attentionMask,
      special: encoding.specialTokensMask,
      words: encoding.wordIds,
    });
    const encoding = encode();
    const { ids, tokens, offsets, typeIds, mask, special } = row;
    if (row.direction === "left") {
      // Cut on the left, the library drops words before it tokenizes: words are numbered anew and missing in the overflow.
      const got = shape(encoding);
      expect({ ...got, words: null }, JSON.stringify(row)).toEqual({
        ...{ ids, tokens, offsets, typeIds, mask, special },
        words: null,
      });
      continue;
    }
    expect(shape(encoding), JSON.stringify(row)).toEqual({
      ids,
      tokens,
      offsets,
      typeIds,
      mask,
      special,
      words: row.words,
    });
    // Nor does it tokenize more than `maxLength` words: of longer texts its overflow is not complete.
    const count = (text = "") => text.split(" ").length;
    if (Math.max(count(row.text), count(row.pair)) > row.maxLength) continue;
    expect(encoding.overflowing.map(shape), JSON.stringify(row)).toEqual(row.overflowing);
  }
});
