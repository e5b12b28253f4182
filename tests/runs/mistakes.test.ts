/** What newcomers get wrong with `train`: each mistake is told by name, with the next step. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createModel, hashWeights, init, tensor } from "tenon";
import { SGD } from "tenon/optim";
import * as runs from "tenon/runs";
import { loadRun, MemoryStore, type TrainingEvent, train } from "tenon/runs";
import { byteTokenizer } from "tenon/tokenizers";
import { afterAll, describe, expect, test } from "vitest";
import { ConfigError, DataError } from "../../src/core/errors.js";

const folder = mkdtempSync(join(tmpdir(), "tenon mistakes-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A task of one weight, which is freed afterwards. */
async function trainWeight(change: object, store = new MemoryStore()) {
  const weight = tensor([1], { requiresGrad: true });
  const loss = (x: number) => weight.mul(x).square().sum();
  const config = { parameters: [weight], loss, batches: [1, 2], training: { steps: 4, learningRate: 0.01 }, ...change };
  const run = train(config as never, { store });
  const events: TrainingEvent[] = [];
  try {
    for await (const event of run) events.push(event);
    return { result: await run.result, events };
  } finally {
    weight.dispose();
  }
}
const problem = (change: object) => trainWeight(change).catch((error) => error);

describe("a task in code", () => {
  const wrong: [what: string, change: object, kind: new (...args: any[]) => Error, message: string][] = [
    [
      "no batches",
      { batches: undefined },
      ConfigError,
      "train: needs batches, which can be iterated again and again, got",
    ],
    [
      "a number of batches",
      { batches: 3 },
      ConfigError,
      "got a number. For example train({ parameters, loss, batches:",
    ],
    ["batches misspelt", { batchs: [1] }, ConfigError, 'train: has no option "batchs". Did you mean "batches"?'],
    [
      "a setting misspelt",
      { trainning: {} },
      ConfigError,
      'train: has no option "trainning". Did you mean "training"?',
    ],
    [
      "a precision there is not",
      { precision: "float16" },
      ConfigError,
      '"float32", the only precision that exists so far',
    ],
    [
      "an optimizer of other parameters",
      { optimizer: new SGD([tensor([1], { requiresGrad: true })], { lr: 1 }) },
      ConfigError,
      "train: needs an optimizer of the model's parameters, got SGD (0) and Parameters, which holds none of",
    ],
    ["parameters that are none", { parameters: [null] }, ConfigError, 'needs tensors as parameters, got null for "p0"'],
    [
      "parameters that are a number",
      { parameters: 5 },
      ConfigError,
      "needs parameters by name or in a list, got a number",
    ],
    [
      "a parameter with a module's own name",
      { parameters: { parameters: tensor([1], { requiresGrad: true }) } },
      ConfigError,
      'needs names of parameters that no module has itself, got "parameters"',
    ],
    ["a loss that is none", { loss: 5 }, ConfigError, "needs a function for loss, got a number"],
    ["a step that is none", { loss: undefined, step: "x" }, ConfigError, "needs a function for step, got a string"],
    [
      "an optimizer by name",
      { optimizer: "sgd" },
      ConfigError,
      'needs an optimizer of tenon/optim, or one like it, got "sgd"',
    ],
    [
      "a source without a hash",
      { batches: { next: () => 1, restore() {}, state: () => null, fingerprint: async () => "x" } },
      ConfigError,
      'needs 64 hex digits from fingerprint() of the batches, got "x"',
    ],
    [
      "half a source",
      { batches: { next() {}, restore() {} } },
      ConfigError,
      "needs batches with state(), as they have",
    ],
    [
      "a number for training, beside an optimizer",
      { optimizer: { lr: 1, step() {}, stateDict() {}, loadStateDict() {} }, training: 5 },
      ConfigError,
      '"training" needs an object, got 5',
    ],
    ["an empty list", { batches: [] }, DataError, "train: needs at least one batch, got none."],
    [
      "an evaluation that returns nothing",
      { evaluate: () => undefined },
      ConfigError,
      "train: needs a number from evaluate(), the loss, got undefined.",
    ],
    [
      "a step that returns a text",
      { step: () => "0.5", loss: undefined },
      ConfigError,
      "train: needs a number from step(batch), the loss, got a string.",
    ],
    ["an iterator at its end", { batches: [].values() }, DataError, "was their iterator read to its end before?"],
  ];
  test.each(wrong)("%s", async (_, change, kind, message) => {
    const error = await problem(change);
    expect(error).toBeInstanceOf(kind);
    expect(error.message).toContain(message);
  });
});

test("batches that can be iterated only once, and end before the steps do, are told", async () => {
  const { result, events } = await trainWeight({ batches: [1, 2, 3].values() });
  expect(result.steps).toBe(3);
  expect(events.flatMap((event) => (event.type === "warning" ? [event.message] : []))).toEqual([
    "train: the batches ended after step 3 of 4; they can be iterated only once.",
  ]);
});

test("code runs where its parameters are, and a config that asks for another device is refused", async () => {
  await init({ device: "reference" });
  expect((await trainWeight({})).result.device).toBe("reference");
  expect((await problem({ device: "cpu" })).message).toBe(
    'train: needs parameters on cpu, which the config asks for, got reference. Make them after await init({ device: "cpu" }), or leave device out.',
  );
  await init({ device: "cpu" });
});

test("parameters of a device that init has replaced are refused where the numerics differ", async () => {
  await init({ device: "cpu", threads: 1 });
  const weight = tensor([1], { requiresGrad: true });
  const { info } = weight.backend;
  Object.defineProperty(weight.backend, "info", { value: { ...info, numerics: "fast" } });
  await init({ device: "cpu", threads: 2 });
  const { message } = await problem({ parameters: [weight] });
  Object.defineProperty(weight.backend, "info", { value: info });
  weight.dispose();
  expect(message).toBe(
    'train: needs parameters made with numerics "portable", got some made with "fast". Train with numerics: "fast", or make them after await init({ numerics: "portable" }).',
  );
});

test("an option that train does not have is refused, not passed over", async () => {
  const misspelt = train({ data: { corpus: "tales" } }, { resum: "0625" } as object);
  await expect(misspelt).rejects.toThrow('train: has no option "resum". Did you mean "resume"?');
});

describe("a loss that is no number", () => {
  const warnings = (events: readonly TrainingEvent[]) =>
    events.flatMap((event) => (event.type === "warning" && event.code === "loss-not-finite" ? [event] : []));

  test("is told once, at its first step; the run goes on, and its result and manifest name that step", async () => {
    const store = new MemoryStore();
    const { result, events } = await trainWeight({ batches: [1, Number.NaN, 1] }, store);
    const [warning, ...more] = warnings(events);
    expect(more).toEqual([]);
    expect(warning.message).toMatch(/^train: the loss is NaN at step 2\. Try a lower learningRate, more warmupSteps/);
    expect(warning.details).toEqual({ step: 2, loss: Number.NaN });
    const at = (type: string) => events.findIndex((event) => event.type === type);
    expect(at("warning")).toBeLessThan(events.findIndex((event) => event.type === "step" && event.step === 2));
    expect(result).toMatchObject({ steps: 4, divergedAt: 2 });
    const { manifest } = await loadRun(result.executionId, { store });
    expect(manifest).toMatchObject({ status: "done", result: { divergedAt: 2 } });
  });

  test("that is infinite counts, and so does a validation loss", async () => {
    expect((await trainWeight({ batches: [1e30] })).result.divergedAt).toBe(1);
    const validated = await trainWeight({ evaluate: () => Number.NaN });
    expect(warnings(validated.events)[0].message).toMatch(/the loss is NaN at step 4/);
  });

  test("a run whose losses are finite says nothing of it", async () => {
    const { result, events } = await trainWeight({});
    expect(warnings(events)).toEqual([]);
    expect(result).not.toHaveProperty("divergedAt");
  });
});

test("batches of which no label counts are told as such, once, and change no weight", async () => {
  const model = await createModel(
    { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8, n_positions: 8, vocab_size: 11 },
    undefined,
    { seed: 1, device: "cpu" },
  );
  const before = await hashWeights(model);
  const none = { ids: [[1, 2, 3]], labels: [[-100, -100, -100]] };
  const run = train(
    {
      parameters: model.stateDict(),
      loss: ({ ids, labels }: any) => model.loss(ids, labels),
      batches: [none, none],
      training: { steps: 2, weightDecay: 0 },
    } as never,
    { store: new MemoryStore() },
  );
  const told: string[] = [];
  for await (const event of run)
    if (event.type === "warning" && event.code !== "not-deterministic") told.push(event.message);
  expect(told).toEqual([expect.stringMatching(/^train: no label counts in the batch of step 1: its loss is NaN/)]);
  expect((await run).divergedAt).toBeUndefined();
  expect(await hashWeights(model)).toBe(before);
  model.dispose();
});

describe("places", () => {
  const text = "the hen saw the fox and the fox saw the hen. ".repeat(20);
  const file = join(folder, "hens and foxes.txt");
  writeFileSync(file, text);
  const tokenizerFile = join(folder, "byte tokenizer.json");
  writeFileSync(tokenizerFile, JSON.stringify(byteTokenizer()));
  const config = (change: object): any => ({
    data: { text: file },
    model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
    training: { steps: 1, batchSize: 2, blockSize: 8, sampleEvery: 0 },
    device: "cpu",
    threads: 1,
    ...change,
  });
  const weights = async (change: object) => (await train(config(change), { store: new MemoryStore() })).weightsHash;

  test("of data and tokenizer may be file: URLs, as texts or objects", async () => {
    const plain = await weights({ tokenizer: tokenizerFile });
    for (const url of [pathToFileURL(file), pathToFileURL(file).href])
      expect(await weights({ data: { text: url }, tokenizer: pathToFileURL(tokenizerFile).href })).toBe(plain);
    expect(await weights({ tokenizer: pathToFileURL(tokenizerFile) })).toBe(plain);
  });

  test("of a table may be file: URLs", async () => {
    const csv = join(folder, "a table.csv");
    writeFileSync(csv, `x,y\n${Array.from({ length: 40 }, (_, i) => `${i},${2 * i}`).join("\n")}`);
    const table = (place: string | URL) =>
      weights({ data: { csv: place, target: "y" }, model: {}, training: { steps: 1 } });
    expect(await table(pathToFileURL(csv).href)).toBe(await table(csv));
  });

  test.each([
    ["chars", 'got "chars". Did you mean "char"?'],
    ["bytes", 'got "bytes". Did you mean "byte"?'],
    ["bpe", 'got "bpe". Did you mean { "train": "bpe" }?'],
    ["elsewhere/tokenizer.json", "elsewhere/tokenizer.json: cannot be read, no such file"],
  ])("the tokenizer %s", async (tokenizer, message) => {
    await expect(weights({ tokenizer })).rejects.toThrow(message);
  });
});

describe("options misspelt", () => {
  const store = new MemoryStore();
  const misspelt: [name: string, nearest: string, call: (options: any) => Promise<unknown>][] = [
    ["codeVerison", "codeVersion", (options) => runs.startRun({}, options)],
    ["stor", "store", (options) => runs.listRuns(options)],
    ["stroe", "store", (options) => runs.loadRun("abc", options)],
    ["sotre", "store", (options) => runs.verify("abc", options)],
    ["onstep", "onStep", (options) => runs.replay("abc", options)],
    ["Store", "store", (options) => runs.compareRuns([], options)],
    ["thread", "threads", (options) => runs.reproduce({} as never, options)],
    ["stores", "store", (options) => runs.findContent("abc", options)],
    ["stores", "store", (options) => runs.findRuns("abc", options)],
    ["stores", "store", (options) => runs.findWeights("abc", options)],
    ["stores", "store", (options) => runs.loadDataReference("abc", options)],
    ["stores", "store", (options) => runs.exportRun("abc", options).next()],
    ["stores", "store", (options) => runs.importRun({} as never, options)],
  ];
  test.each(misspelt)("%s: did you mean %s?", async (name, nearest, call) => {
    const refused = call({ store, [name]: 1 });
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow(`has no option "${name}". Did you mean "${nearest}"?`);
  });

  test("of the end of a run", async () => {
    const run = await runs.startRun({}, { store, codeVersion: "1" });
    await expect(run.finish({ wieghts: {} } as never)).rejects.toThrow(
      'finish: has no option "wieghts". Did you mean "weights"?',
    );
    await run.finish();
  });
});

describe("what no run could do", () => {
  const config = (more: object) => ({ data: { corpus: "tales" }, ...more }) as never;
  test.each([
    [{ formatVersion: "9.0" }, {}, "config: is tenon-config 9.0, this version of Tenon reads 1.x"],
    [{ training: { batchSize: 2 ** 31 } }, {}, '"training.batchSize" needs a batch of at most 2^31 values'],
    [{ training: { batchSize: 2 ** 53 - 1 } }, {}, "got 9007199254740991. For larger steps, accumulate"],
    [
      { training: { blockSize: 2 ** 31 } },
      {},
      '"training.blockSize" needs a batch of at most 2^31 values (batchSize 12 x 2147483649)',
    ],
    [{}, { sinks: 5 }, "train: needs sinks as a list, got 5"],
    [{}, { clock: 5 }, "train: needs a function that gives milliseconds"],
  ])("%j, %j", async (more, options, message) => {
    const run = train(config(more), { store: new MemoryStore(), ...options } as never);
    await expect(run.result).rejects.toThrow(message);
  });

  test("such as a replay of code, or of nothing", async () => {
    const store = new MemoryStore();
    const run = await runs.startRun({ lr: 1 }, { store, codeVersion: "1" });
    const weights = { w: { dtype: "F32", shape: [1], data: new Float32Array(1) } } as const;
    const manifest = await run.finish({ weights });
    await expect(runs.reproduce(manifest)).rejects.toThrow(/cannot be made again, it was made by code/);
    await expect(runs.reproduce(null as never)).rejects.toThrow("reproduce: needs a manifest, got null");
    await expect(runs.reproduce({} as never)).rejects.toThrow('reproduce: "runId" needs a plain name, got nothing');
    await expect(runs.reproduce(manifest, { clock: 5 } as never)).rejects.toThrow("reproduce: needs a function");
    await expect(runs.compareRuns(5 as never, { store })).rejects.toThrow("compareRuns: needs a list of runs, got");
    await expect(runs.findContent(5 as never, { store })).rejects.toThrow("find: needs 1 to 64 hex digits, got 5");
  });
});
