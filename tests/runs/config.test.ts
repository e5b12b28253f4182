import { createModel, Gpt2 } from "tenon/models";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/core/errors.js";
import { override, resolveConfig, type TrainingConfig } from "../../src/runs/config.js";

const data = { text: "shakespeare.txt" };
const resolve = (more: object) => resolveConfig({ data, ...more }, "c.json");

describe("the training config", () => {
  it("needs data alone; every other field has a default", () => {
    const config = resolveConfig({ data });
    expect(config).toEqual({
      data: { text: "shakespeare.txt", split: { train: 0.9, val: 0.1 } },
      tokenizer: "char",
      model: { model_type: "gpt2", n_layer: 4, n_head: 4, n_embd: 128, n_positions: 64 },
      training: {
        steps: 2000,
        batchSize: 12,
        blockSize: 64,
        accumulate: 1,
        optimizer: "adamw",
        learningRate: 1e-3,
        minLearningRate: 1e-4,
        schedule: "cosine",
        warmupSteps: 100,
        weightDecay: 0.1,
        betas: [0.9, 0.99],
        eps: 1e-8,
        momentum: 0.9,
        clipNorm: 1,
        dropout: 0,
        evalEvery: 250,
        evalFraction: 0.1,
        checkpointEvery: 500,
        logEvery: 1,
        sampleEvery: 250,
        sampleTokens: 200,
      },
      precision: "float32",
      seed: 1337,
      device: "auto",
      numerics: "portable",
      deterministic: "warn",
      out: "runs",
    });
  });

  it("takes the config of the design as it stands, and leaves the input alone", () => {
    const input = {
      data: { text: "shakespeare.txt", split: { train: 0.9, val: 0.1 } },
      tokenizer: "char",
      model: { model_type: "gpt2", n_layer: 4, n_head: 4, n_embd: 128, n_positions: 64 },
      training: {
        steps: 2000,
        batchSize: 12,
        blockSize: 64,
        learningRate: 1e-3,
        schedule: "cosine",
        warmupSteps: 100,
        weightDecay: 0.1,
        betas: [0.9, 0.99],
        clipNorm: 1.0,
        dropout: 0.0,
        evalEvery: 250,
        checkpointEvery: 500,
      },
      precision: "float32",
      seed: 1337,
      device: "auto",
    };
    const before = structuredClone(input);
    expect(resolveConfig(input)).toEqual(resolveConfig({ data }));
    expect(input).toEqual(before);
  });

  it("takes files, lists, tables, built-in corpora and trained tokenizers", () => {
    const file = new File(["text"], "t.txt");
    expect(resolveConfig({ data: { text: file } }).data.text).toBe(file);
    expect(resolveConfig({ data: { text: ["a", "b"] } }).data.text).toEqual(["a", "b"]);
    expect(resolveConfig({ data: { corpus: "tales", length: 100 } }).data.corpus).toBe("tales");
    expect(resolveConfig({ data: { csv: "i.csv", target: "y", features: ["a"] } }).data.target).toBe("y");
    expect(resolve({ tokenizer: { train: "bpe" } }).tokenizer).toEqual({ train: "bpe", vocabSize: 2048 });
    expect(resolve({ training: { clipNorm: null } }).training.clipNorm).toBe(null);
    expect(resolve({ training: { steps: 20 } }).training.warmupSteps).toBe(2);
  });

  it.each([
    ["with line breaks", "the owl\nhears the mouse\n".repeat(20), "without line breaks"],
    ["in a list", ["a.txt", `one\r\n${"two ".repeat(30)}`], "without line breaks"],
    ["of one long line", "the owl hears the mouse ".repeat(90), "of at most 2000 characters"],
  ])("takes no text in the place of a path: %s", (_, text, rule) => {
    const pasted = Array.isArray(text) ? text[1] : text;
    const at = Array.isArray(text) ? "data.text[1]" : "data.text";
    expect(() => resolveConfig({ data: { text } }, "c.json")).toThrow(
      `c.json: "${at}" needs a path or URL ${rule}, or a Blob, got ${JSON.stringify(`${pasted.slice(0, 60)}…`)}. To train on a text itself, pass new Blob([text]).`,
    );
    const url = `data:text/plain,${"a".repeat(3000)}`;
    expect(resolveConfig({ data: { text: url } }).data.text).toBe(url);
  });

  it("has defaults of their own for tables", () => {
    const { model, training } = resolveConfig({ data: { csv: "i.csv" } });
    expect(model).toEqual({ model_type: "mlp" });
    expect(training).toMatchObject({ batchSize: 64, evalFraction: 1, weightDecay: 0.01 });
    expect(resolveConfig({ data: { csv: "i.csv" }, training: { batchSize: 5 } }).training.batchSize).toBe(5);
    const split = { train: 0.6, val: 0.4 };
    const schema = { fields: { a: "float32" as const }, split };
    expect(resolveConfig({ data: { csv: "i.csv", schema } }).data.split).toEqual(split);
    expect(resolveConfig({ data: { csv: "i.csv", schema, split: { train: 1, val: 0 } } }).data.split.train).toBe(1);
  });

  const refused: [what: string, config: unknown, message: RegExp][] = [
    ["no config", null, /c.json: needs an object, got null/],
    ["no data", {}, /c.json: "data" needs an object with one of text, tokens, csv, .* got nothing/],
    [
      "a table for a language model",
      { data: { csv: "a" }, model: { model_type: "gpt2" } },
      /needs mlp or convnet, as the data are csv, got "gpt2"/,
    ],
    [
      "a text for a model of tables",
      { data, model: { model_type: "mlp" } },
      /needs gpt2, as the data are text, got "mlp"/,
    ],
    [
      "an unknown family",
      { data, model: { model_type: "llama" } },
      /^c.json: "model.model_type" needs gpt2, as the data are text, got "llama"\.$/,
    ],
    [
      "a misspelt family",
      { data: { csv: "a" }, model: { model_type: "mpl" } },
      /"model.model_type" needs mlp or convnet, .* got "mpl"\. Did you mean "mlp"\?/,
    ],
    [
      "a misspelt key of a table's model",
      { data: { csv: "a" }, model: { model_type: "mlp", hiden_sizes: [3] } },
      /"model.hiden_sizes" .* "hidden_sizes"\?/,
    ],
    [
      "columns of a text",
      { data: { text: "a", features: ["b"] } },
      /"data.features" needs nothing, as it takes no part where the data are text/,
    ],
    [
      "idx without labels",
      { data: { idx: "a" } },
      /"data.labels" needs a file of labels for each file of idx \(1\), got nothing/,
    ],
    ["labels of a CSV file", { data: { csv: "a", labels: "b" } }, /"data.labels" needs data of idx, got "b"/],
    [
      "a misspelt type in a schema",
      { data: { csv: "a", schema: { fields: { x: "flot32" } } } },
      /field "x" needs a known type, got "flot32"/,
    ],
    ["empty data", { data: {} }, /"data" needs exactly one of text/],
    ["two data", { data: { text: "a", csv: "b" } }, /exactly one of .* got \["text","csv"\]/],
    ["a misspelt key", { data, sed: 1 }, /c.json: "sed" is not a known key. Did you mean "seed"\?/],
    ["a misspelt inner key", { data, training: { learningrate: 1 } }, /"training.learningrate" .* "learningRate"\?/],
    ["a misspelt model key", { data, model: { n_layers: 3 } }, /"model.n_layers" .* "n_layer"\?/],
    ["an unknown key", { data, colour: "red" }, /"colour" is not a known key. Known here: /],
    ["a wrong type", { data, seed: "1" }, /"seed" needs a whole number from 0, got "1"/],
    ["a broken number", { data, training: { steps: 1.5 } }, /"training.steps" needs a whole number from 1, got 1.5/],
    [
      "NaN",
      { data, training: { learningRate: Number.NaN } },
      /"training.learningRate" needs a number above 0, got NaN/,
    ],
    ["a range", { data, training: { dropout: 1 } }, /"training.dropout" needs a number from 0 up to/],
    ["a near choice", { data, device: "gpu" }, /"device" needs "auto", "cpu", "webgpu" or "reference", got "gpu"/],
    ["a misspelt choice", { data, training: { schedule: "cosin" } }, /got "cosin"\. Did you mean "cosine"\?/],
    ["a list too short", { data, training: { betas: [0.9] } }, /"training.betas" needs a list of 2/],
    ["an entry of a list", { data, training: { betas: [0.9, "x"] } }, /"training.betas\[1\]" needs a number/],
    [
      "another precision",
      { data, precision: "bfloat16" },
      /"precision" needs "float32", the only precision .* got "bfloat16"/,
    ],
    ["shares above one", { data: { text: "a", split: { train: 0.9, val: 0.2 } } }, /shares that sum to 1 at most/],
    [
      "no share to train on",
      { data: { text: "a", split: { train: 0, val: 0.2 } } },
      /"data.split.train" needs a number above 0/,
    ],
    [
      "heads that do not fit",
      { data, model: { n_embd: 130 } },
      /"model.n_embd" needs a multiple of n_head \(4\), got 130/,
    ],
    [
      "too few positions",
      { data, model: { n_positions: 32 } },
      /"model.n_positions" needs at least blockSize \(64\), got 32/,
    ],
    ["a warm-up too long", { data, training: { steps: 5, warmupSteps: 9 } }, /at most the 5 steps of the run, got 9/],
    ["a floor above the rate", { data, training: { minLearningRate: 1 } }, /at most the learning rate 0.001, got 1/],
    ["a number as tokenizer", { data, tokenizer: 3 }, /"tokenizer" needs "char", "byte", .* got 3/],
    ["an unknown trainer", { data, tokenizer: { train: "bpee" } }, /"tokenizer.train" .* Did you mean "bpe"\?/],
    ["an empty path", { data: { text: "" } }, /"data.text" needs a path, URL or Blob/],
    ["zero threads", { data, threads: 0 }, /"threads" needs a whole number from 1 up to 64, got 0/],
    ["more threads than init does", { data, threads: 65 }, /"threads" needs a whole number from 1 up to 64, got 65/],
    [
      "a dropout that leaves nothing",
      { data, model: { attn_pdrop: 1 } },
      /"model.attn_pdrop" needs a number from 0 up to 0.99.*, got 1/,
    ],
    [
      "another activation",
      { data, model: { activation_function: "gelu-new" } },
      /"model.activation_function" needs "gelu_new", "gelu" or "relu", got "gelu-new"\. Did you mean "gelu_new"\?/,
    ],
    ["too many layers", { data, model: { n_layer: 10_001 } }, /"model.n_layer" .* from 1 up to 10000, got 10001/],
  ];
  it.each(refused)("refuses %s", (_, config, message) => {
    expect(() => resolveConfig(config, "c.json")).toThrow(ConfigError);
    expect(() => resolveConfig(config, "c.json")).toThrow(message);
  });

  it("takes every family that createModel knows", async () => {
    const refusal = await createModel({ model_type: "?" }).catch(({ message }: Error) => message);
    const families = /Known are (.*)\.$/.exec(refusal as string)![1].split(/, | and /);
    const of = (data: object, name: string) => resolveConfig({ data, model: { model_type: name } }).model.model_type;
    const takes = (name: string) =>
      [data, { csv: "a" }].some((kind) => {
        try {
          return of(kind, name) === name;
        } catch {
          return false;
        }
      });
    expect(families.filter((name) => !takes(name))).toEqual([]);
    expect(families.length).toBeGreaterThan(2);
  });

  it("takes no model that could not be made", async () => {
    const small = { n_layer: 1, n_head: 1, n_embd: 8, vocab_size: 8 };
    const values = [-1, 0, 1e-9, 0.5, 1, 2, 1.5, 64, Number.NaN, "1", "gelu", "tanh", true, null, [1]];
    const taken: string[] = [];
    for (const name of Gpt2.fieldNames()) {
      for (const value of values) {
        let model: TrainingConfig["model"];
        try {
          ({ model } = resolve({ model: { ...small, [name]: value } }));
        } catch {
          continue;
        }
        taken.push(name);
        (await createModel(model)).dispose();
      }
    }
    const written = Gpt2.fieldNames().filter((name) => !name.endsWith("_token_id"));
    expect([...new Set(taken)].sort()).toEqual([...written].sort());
  });

  it("is overridden by dotted path", () => {
    expect(override({ data, training: { steps: 1 } }, "training.steps", 2)).toEqual({ data, training: { steps: 2 } });
    expect(override({ data }, "training.steps", 2)).toEqual({ data, training: { steps: 2 } });
    expect(() => override({}, "__proto__.x", 1)).toThrow(ConfigError);
  });
});
