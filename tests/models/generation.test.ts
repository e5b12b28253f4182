import * as t from "tenon";
import { charTokenizer } from "tenon/tokenizers";
import { beforeAll, describe, expect, test } from "vitest";
import { exp } from "../../src/core/math.js";
import { randomUniform } from "../../src/core/random.js";
import { chooseToken, samplingDefaults } from "../../src/models/sampling.js";

const config = { model_type: "gpt2", vocab_size: 11, n_layer: 2, n_head: 2, n_embd: 16, n_positions: 12 };
const digits = "0123456789 ";

/** A small model with weights large enough that its logits differ. */
async function tinyModel(): Promise<t.LanguageModel> {
  const model = await t.createModel({ ...config, initializer_range: 0.4 }, undefined, { seed: 5, device: "cpu" });
  model.tokenizer = charTokenizer(digits);
  return model;
}

async function withModel<T>(use: (model: t.LanguageModel) => Promise<T>): Promise<T> {
  const model = await tinyModel();
  try {
    return await use(model);
  } finally {
    model.dispose();
  }
}

beforeAll(() => t.init({ device: "cpu" }));

test("a cache that there is no memory for leaves nothing behind", () =>
  withModel(async (model) => {
    const { live } = t.memory();
    // The first layer's keys and values have room, those of the second have not.
    await t.init({ memoryBudget: live + 1.5 * 12 * 32 * 4 });
    try {
      await expect(model.generate([1, 2, 3], { maxTokens: 20 })).rejects.toThrow(t.MemoryBudgetError);
    } finally {
      await t.init({ memoryBudget: undefined });
    }
    expect(t.memory().live).toBe(live);
  }));

test("the default dtype is the user's: a model trains and writes in float32", () =>
  withModel(async (model) => {
    const options = { maxTokens: 4, temperature: 0 };
    const { tokens } = await model.generate([1, 2, 3], options);
    t.setDefaultDtype("bfloat16");
    try {
      expect((await model.generate([1, 2, 3], options)).tokens).toEqual(tokens);
      expect((await model.trainStep({ ids: [[1, 2, 3]] }, { clipNorm: 1 })).loss).toBeGreaterThan(0);
    } finally {
      t.setDefaultDtype("float32");
    }
  }));

test("a model moved to 16-bit floats writes what its widened weights would", () =>
  withModel(async (model) => {
    const options = { maxTokens: 6, temperature: 0 };
    model.to({ dtype: "bfloat16" });
    const { tokens } = await model.generate([1, 2, 3], options);
    model.to({ dtype: "float32" });
    expect((await model.generate([1, 2, 3], options)).tokens).toEqual(tokens);
  }));

describe("choosing a token", () => {
  const logits = [1, 3, 2, 3, -1];
  const choose = (options: object, uniform: number, seen: number[] = []) =>
    chooseToken(logits, seen, { ...samplingDefaults, ...options }, () => uniform).token;
  /** Tokens that come out over a fine grid of the uniform number. */
  const reachable = (options: object, seen: number[] = []) =>
    [...new Set(Array.from({ length: 2000 }, (_, i) => choose(options, i / 2000, seen)))].sort();

  test("temperature 0 takes the first of the largest", () => expect(choose({ temperature: 0 }, 0.9)).toBe(1));
  test("without cuts every token can come", () => expect(reachable({})).toEqual([0, 1, 2, 3, 4]));
  test("topK keeps the k largest, ties by lower id", () => {
    expect(reachable({ topK: 1 })).toEqual([1]);
    expect(reachable({ topK: 3 })).toEqual([1, 2, 3]);
  });
  test("topP keeps the fewest that reach p", () => {
    const total = logits.reduce((sum, x) => sum + Math.exp(x), 0);
    const two = (2 * Math.exp(3)) / total;
    expect(reachable({ topP: two - 1e-6 })).toEqual([1, 3]);
    expect(reachable({ topP: two + 1e-6 })).toEqual([1, 2, 3]);
  });
  test("minP keeps what is likely enough beside the likeliest", () => {
    expect(reachable({ minP: Math.exp(-1) - 1e-6 })).toEqual([1, 2, 3]);
    expect(reachable({ minP: Math.exp(-1) + 1e-6 })).toEqual([1, 3]);
  });
  test("the repetition penalty divides what was seen, and multiplies below 0", () => {
    expect(choose({ temperature: 0, repetitionPenalty: 2 }, 0, [1])).toBe(3);
    expect(choose({ temperature: 0, repetitionPenalty: 2 }, 0, [1, 3])).toBe(2);
  });
  test("cuts choose what sorting all ids would choose, equal logits and penalties included", () => {
    /** Plainly: all ids in order, the largest first, then what is cut. */
    const plain = (row: number[], { temperature = 1, topK = 0, topP = 1, minP = 0 }, uniform: number): number => {
      let order = row.map((_, id) => id).sort((a, b) => row[b] - row[a] || a - b);
      if (topK > 0) order = order.slice(0, topK);
      let weights = order.map((id) => exp((row[id] - Math.max(...row)) / temperature));
      const total = weights.reduce((a, b) => a + b, 0);
      let reached = 0;
      let count = 0;
      while (count < weights.length && (topP === 1 || reached < topP * total)) reached += weights[count++];
      weights = weights.slice(0, count).map((weight) => (weight < minP ? 0 : weight));
      let left = uniform * weights.reduce((a, b) => a + b, 0);
      return order[weights.findIndex((weight) => weight > 0 && (left -= weight) < 0)];
    };
    const call = new t.Generator(4).at("test", 0);
    const numbers = randomUniform(call, 300_000);
    const random = (i: number) => numbers[i];
    for (let i = 0; i < 300; i++) {
      const coarse = i % 3 === 0 ? 2 : 1000; // many equal ones, or hardly any
      const row = Array.from({ length: 700 }, (_, j) => Math.round(random(1000 * i + j) * 8 * coarse) / coarse - 4);
      const options = [{ topK: 40 }, { topK: 300 }, { topP: 0.9 }, { topK: 50, topP: 0.7, minP: 0.1 }, { topK: 900 }][
        i % 5
      ];
      const uniform = random(1000 * i + 999);
      const want = plain(row, options, uniform);
      expect(chooseToken(row, [], { ...samplingDefaults, ...options }, () => uniform).token).toBe(want);
      expect(chooseToken(Float32Array.from(row), [], { ...samplingDefaults, ...options }, () => uniform).token).toBe(
        plain([...Float32Array.from(row)], options, uniform),
      );
    }
  });
  test("frequencies are the model's probabilities; the log-probability is theirs", () => {
    const total = logits.reduce((sum, x) => sum + Math.exp(x), 0);
    const hits = Array.from({ length: 20000 }, (_, i) => choose({}, i / 20000)).filter((id) => id === 2).length;
    expect(hits / 20000).toBeCloseTo(Math.exp(2) / total, 3);
    const { logprob } = chooseToken(logits, [], { ...samplingDefaults, temperature: 0 }, () => 0);
    expect(logprob).toBeCloseTo(Math.log(Math.exp(3) / total), 12);
  });
});

describe("generate", () => {
  test("a cached decode takes the tokens of full forward passes", () =>
    withModel(async (model) => {
      const prompt = [1, 2, 3];
      const { tokens } = await model.generate(prompt, { temperature: 0, maxTokens: 8 });
      model.eval();
      const ids = [...prompt];
      for (let i = 0; i < 8; i++) {
        const logits = t.noGrad(() =>
          t.tidy(() =>
            model
              .forward([ids])
              .select(1, ids.length - 1)
              .argmax({ dim: 1 }),
          ),
        );
        ids.push(await logits.item());
        logits.dispose();
      }
      expect([...prompt, ...tokens]).toEqual(ids);
    }));

  test("seeded: the same seed gives the same tokens, another others; rows of a batch are those of prompts alone", () =>
    withModel(async (model) => {
      const options = { maxTokens: 20, seed: 3, temperature: 1.2 };
      const alone = await model.generate([4, 5], options);
      expect((await model.generate([4, 5], options)).tokens).toEqual(alone.tokens);
      expect((await model.generate([4, 5], { ...options, seed: 4 })).tokens).not.toEqual(alone.tokens);
      const greedy = { maxTokens: 6, temperature: 0 };
      const prompts = [
        [4, 5],
        [1, 2, 3],
        [7, 8],
      ];
      const together = await model.generate(prompts, greedy);
      for (const [i, prompt] of prompts.entries()) {
        expect(together[i].tokens).toEqual((await model.generate(prompt, greedy)).tokens);
      }
    }));

  /** What a stream returns when it has given all its tokens. */
  async function last(stream: ReturnType<t.LanguageModel["stream"]>, onToken: () => void = () => {}) {
    for (;;) {
      const { done, value } = await stream.next();
      if (done) return value;
      onToken();
    }
  }

  test("streams the tokens and the text of generate", () =>
    withModel(async (model) => {
      const options = { maxTokens: 10, seed: 9 };
      const whole = await model.generate("12", options);
      const ids: number[] = [];
      let text = "";
      for await (const token of model.stream("12", options)) {
        ids.push(token.id);
        text += token.text;
      }
      expect(ids).toEqual(whole.tokens);
      expect(text).toBe(whole.text);
      expect(await last(model.stream("12", options))).toEqual(whole);
      const stop = new AbortController();
      const cut = await last(model.stream("12", { ...options, stop: "#", signal: stop.signal }), () => stop.abort());
      expect(cut).toMatchObject({ tokens: [whole.tokens[0]], finishReason: "aborted" });
      expect(whole.text.length).toBe(10);
    }));

  test("a stream holds back what may begin a stop text, and gives all of it that was none", () =>
    withModel(async (model) => {
      const free = await model.generate("12", { maxTokens: 12, seed: 1 });
      const absent = `${free.text.slice(-1)}#`;
      for (const stop of [
        free.text.slice(3, 6),
        `${free.text.slice(2, 4)}#`,
        absent,
        [absent, free.text.slice(5, 7)],
      ]) {
        const options = { maxTokens: 12, seed: 1, stop };
        let text = "";
        for await (const token of model.stream("12", options)) text += token.text;
        expect(text).toBe((await model.generate("12", options)).text);
      }
      model.generationConfig = { eos_token_id: free.tokens[4] };
      const options = { maxTokens: 12, seed: 1, stop: `${free.text.slice(0, free.tokens.indexOf(free.tokens[4]))}#` };
      let text = "";
      for await (const token of model.stream("12", options)) text += token.text;
      expect(text).toBe((await model.generate("12", options)).text);
    }));

  test("ends before a stop text, at an end-of-text token, and when aborted", () =>
    withModel(async (model) => {
      const free = await model.generate("12", { maxTokens: 30, seed: 1 });
      const stop = free.text.slice(3, 5);
      const stopped = await model.generate("12", { maxTokens: 30, seed: 1, stop });
      expect(stopped.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
      expect(stopped.finishReason).toBe("stop");
      model.generationConfig = { eos_token_id: free.tokens[2] };
      const ended = await model.generate("12", { maxTokens: 30, seed: 1 });
      expect(ended.finishReason).toBe("eos");
      expect(ended.tokens).toEqual(free.tokens.slice(0, free.tokens.indexOf(free.tokens[2])));
      const controller = new AbortController();
      controller.abort();
      const aborted = await model.generate("12", {
        maxTokens: 30,
        seed: 1,
        ignoreEos: true,
        signal: controller.signal,
      });
      expect(aborted.finishReason).toBe("aborted");
      expect(aborted.tokens).toEqual([]);
    }));

  test("a timer ends a generation on the CPU, and others have their turn; what is no signal is refused", () =>
    withModel(async (model) => {
      let turns = 0;
      const timer = setInterval(() => turns++, 5);
      const endless = { maxTokens: 10 ** 7, ignoreEos: true };
      const { finishReason, tokens } = await model.generate("12", { ...endless, signal: AbortSignal.timeout(300) });
      clearInterval(timer);
      expect(finishReason).toBe("aborted");
      expect(tokens.length).toBeGreaterThan(0);
      expect(turns).toBeGreaterThan(1);
      const signal = new AbortController() as unknown as AbortSignal;
      await expect(model.generate("12", { signal })).rejects.toThrow(
        "needs an AbortSignal for signal, got an AbortController.",
      );
    }));

  test("a prompt longer than the context counts by its end, and the window slides during generation", () =>
    withModel(async (model) => {
      const long = Array.from({ length: 30 }, (_, i) => (i * 7) % 10);
      const warnings: string[] = [];
      const listener = t.setWarningListener(({ code }) => void warnings.push(code));
      const cut = await model.generate(long, { maxTokens: 25, temperature: 0 });
      t.setWarningListener(listener);
      expect(cut.tokens.length).toBe(25);
      expect(cut.tokens[0]).toBe((await model.generate(long.slice(-12), { maxTokens: 1, temperature: 0 })).tokens[0]);
      expect(warnings).toContain("prompt-cut");
    }));

  test("the window of a batch slides also where a row has ended before", () =>
    withModel(async (model) => {
      model.generationConfig = { eos_token_id: 3 };
      let slid = 0;
      for (let seed = 0; seed < 8; seed++) {
        const options = { maxTokens: 30, seed };
        const [first, ...others] = await model.generate([[1], [2], [4]], options);
        expect(first.tokens).toEqual((await model.generate([1], options)).tokens);
        if (first.tokens.length > 12 && others.some(({ tokens }) => tokens.length < 4)) slid++;
      }
      expect(slid).toBeGreaterThan(0);
    }));

  test("a model in training is as it was, whatever else it writes meanwhile; nothing is dropped out", () =>
    withModel(async (model) => {
      const options = { maxTokens: 12, seed: 3 };
      const alone = await model.generate([4, 5], options);
      model.train();
      // The first ends while the second has far to go.
      const [, long] = await Promise.all([model.generate([1], { maxTokens: 2 }), model.generate([4, 5], options)]);
      expect(long.tokens).toEqual(alone.tokens);
      expect(model.training).toBe(true);
      for await (const _ of model.stream([4, 5], options)) expect(model.training).toBe(true);
    }));

  test("the record says what replays it", () =>
    withModel(async (model) => {
      const { record, tokens, logprobs } = await model.generate("7", { maxTokens: 3, seed: 2, logprobs: true });
      expect(record).toMatchObject({ prompt: [8], seed: 2, tokens, tokenizerHash: model.tokenizer!.hash });
      expect(logprobs!.every((value) => value <= 0)).toBe(true);
    }));

  test.each([
    [{ temperature: -1 }, /temperature/],
    [{ topP: 0 }, /topP/],
    [{ topK: 1.5 }, /topK/],
    [{ minP: 2 }, /minP/],
    [{ maxTokens: -1 }, /maxTokens/],
    [{ stop: "" }, /stop/],
    [{ stop: 5 }, /needs texts that are not empty for stop/],
    [{ temprature: 1 }, /Did you mean "temperature"/],
  ])("refuses %j", (options, message) =>
    withModel((model) => expect(model.generate([1], options as never)).rejects.toThrow(message)),
  );

  test.each([
    [[], /at least one token/],
    [[11], /ids from 0 to 10, got 11/],
    [[0.5], /ids from 0 to 10/],
  ])("refuses the prompt %j", (prompt, message) =>
    withModel((model) => expect(model.generate(prompt)).rejects.toThrow(message)),
  );
});
