import { createModel, type GenerationRecord, type LanguageModel, replayGeneration } from "tenon";
import { charTokenizer } from "tenon/tokenizers";
import { expect, test } from "vitest";

const config = { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16, n_positions: 16 };

async function withModel(use: (model: LanguageModel) => Promise<void>, seed = 1): Promise<void> {
  const tokenizer = charTokenizer("abcdefgh\n");
  const model = (await createModel({ ...config, vocab_size: tokenizer.vocabSize }, undefined, {
    seed,
  })) as LanguageModel;
  model.tokenizer = tokenizer;
  try {
    await use(model);
  } finally {
    model.dispose();
  }
}

const options = { maxTokens: 12, temperature: 0.9, topK: 6, seed: 3 };
const travelled = (record: GenerationRecord): GenerationRecord => JSON.parse(JSON.stringify(record));

test("a record gives the same tokens again, also as JSON and out of a batch", () =>
  withModel(async (model) => {
    const { record } = await model.generate("abc", options);
    expect(await replayGeneration(model, travelled(record))).toMatchObject({
      verdict: "equal",
      statement: "Equal: all 12 tokens came out again.",
    });
    const batch = await model.generate(["abc", "de", "fgh", "cba"], options);
    expect(new Set(batch.map(({ tokens }) => String(tokens))).size).toBeGreaterThan(1);
    for (const { record } of batch) expect((await replayGeneration(model, record)).verdict).toBe("equal");
  }));

test("a record of maxNewTokens names them maxTokens, alone", () =>
  withModel(async (model) => {
    const { maxTokens, ...others } = options;
    const { record } = await model.generate("abc", { ...others, maxNewTokens: maxTokens });
    expect(record.options).toEqual({ ...options, maxTokens });
    expect((await replayGeneration(model, travelled(record))).verdict).toBe("equal");
  }));

test("a generation that was ended early replays as far as it went", () =>
  withModel(async (model) => {
    let asked = 0;
    const signal = {
      get aborted() {
        return asked++ > 3;
      },
    } as AbortSignal;
    const { record, finishReason } = await model.generate("abc", { ...options, signal });
    expect([finishReason, record.tokens.length]).toEqual(["aborted", 3]);
    expect((await replayGeneration(model, travelled(record))).verdict).toBe("equal");
  }));

test("a changed token, other weights and another tokenizer are told", () =>
  withModel(async (model) => {
    const { record } = await model.generate("abc", options);
    const tokens = [...record.tokens];
    tokens[4] = (tokens[4] + 1) % 8;
    const answer = await replayGeneration(model, { ...record, tokens });
    expect(answer).toMatchObject({ verdict: "differs", at: 4 });
    expect(answer.statement).toBe(`Differs from token 5: was ${tokens[4]}, now ${record.tokens[4]}.`);
    const shorter = await replayGeneration(model, { ...record, tokens: record.tokens.slice(0, 5) });
    expect(shorter.statement).toMatch(/^Differs from token 6: was the end/);
    await withModel(async (other) => {
      other.tokenizer = charTokenizer("abcdefgx\n");
      const found = await replayGeneration(other, record);
      expect(found.verdict).toBe("differs");
      expect(found.explanations).toHaveLength(2);
      expect(found.explanations[0]).toMatch(/the tokenizer is another one \([0-9a-f]{12}… then, [0-9a-f]{12}… now\)/);
    }, 2);
    await expect(replayGeneration(model, { tokens: "abc" } as never)).rejects.toThrow("needs a record");
  }));
