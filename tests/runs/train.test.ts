import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as t from "tenon";
import { TokenBlocks, tokensInMemory } from "tenon/data";
import { Linear } from "tenon/nn";
import { Adam, SGD } from "tenon/optim";
import { loadRun, MemoryStore, replay, type TrainingEvent, train, verify } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { determinism } from "../../src/core/determinism.js";

let folder: string;
let text: string;
const words = ["the fox", "a hen", "runs", "sleeps", "near the barn", "in the sun", "and", "then"];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tenon-train-"));
  const rng = new t.Generator(5);
  const picks = t.randint(0, words.length, [1500], { generator: rng });
  const lines = (await picks.data()) as Int32Array;
  picks.dispose();
  text = Array.from(lines, (i, n) => words[i] + (n % 7 === 6 ? ".\n" : " ")).join("");
  await writeFile(join(folder, "text.txt"), text);
});
afterAll(() => rm(folder, { recursive: true }));

const config = (more: object = {}, training: object = {}) => ({
  data: { text: join(folder, "text.txt") },
  model: { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16 },
  training: {
    steps: 12,
    batchSize: 4,
    blockSize: 16,
    learningRate: 3e-3,
    warmupSteps: 2,
    evalEvery: 5,
    checkpointEvery: 4,
    sampleTokens: 8,
    dropout: 0.1,
    ...training,
  },
  seed: 3,
  ...more,
});

const collect = async (run: AsyncIterable<TrainingEvent>) => {
  const events: TrainingEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
};

describe("train from a config", () => {
  test("the loss falls; events, files and result agree", async () => {
    const store = new MemoryStore();
    const run = train(config(), { store });
    const events = await collect(run);
    const result = await run;
    const losses = events.flatMap((event) => (event.type === "step" ? [event.loss] : []));
    expect(losses.length).toBe(12);
    expect(losses[11]).toBeLessThan(losses[0]);
    expect(events.at(-1)).toMatchObject({ type: "done", result });
    expect(result.valLoss).toBeGreaterThan(0);
    const folderName = `${result.executionId}/checkpoints/step-000012`;
    const names = (await store.list(folderName)).map(({ name }) => name).sort();
    expect(names).toEqual([
      "checkpoint.json",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "optimizer.safetensors",
      "tokenizer.json",
      "training_state.json",
    ]);
    const model = await t.loadModel({ store, folder: folderName });
    const { text: written } = await model.generate("the ", { maxTokens: 5, seed: 1 });
    expect(written.length).toBeGreaterThan(0);
    model.dispose();
  });

  test("twice gives the same bits, another seed others; equal runs meet under one runId", async () => {
    const store = new MemoryStore();
    const a = await train(config(), { store });
    const b = await train(config(), { store });
    const c = await train(config({ seed: 4 }), { store });
    expect(b.weightsHash).toBe(a.weightsHash);
    expect(b.runId).toBe(a.runId);
    expect(b.executionId).not.toBe(a.executionId);
    expect(c.weightsHash).not.toBe(a.weightsHash);
  });

  test("stopped and resumed equals undisturbed, bit for bit", async () => {
    const whole = await train(config(), { store: new MemoryStore() });
    const store = new MemoryStore();
    const run = train(config(), { store });
    for await (const event of run) if (event.type === "step" && event.step === 6) void run.stop();
    const stopped = await run;
    expect(stopped.stopped).toBe(true);
    expect(stopped.steps).toBeLessThan(12);
    const resumed = await train(undefined as never, { store, resume: stopped.executionId });
    expect(resumed.weightsHash).toBe(whole.weightsHash);
    expect(resumed.valLoss).toBe(whole.valLoss);
    const lines = async (from: MemoryStore, id: string) =>
      new TextDecoder().decode(await from.read(`${id}/metrics.jsonl`));
    expect((await lines(store, resumed.executionId)).split("\n").length).toBeGreaterThan(12);
  });

  test("stopped before its first step it is resumed from there", async () => {
    const whole = await train(config(), { store: new MemoryStore() });
    const store = new MemoryStore();
    const { executionId, steps, weightsHash } = await train(config(), { store }).stop();
    const { manifest } = await loadRun(executionId, { store });
    expect([steps, manifest.status, weightsHash]).toEqual([0, "stopped", manifest.initialWeights]);
    await expect(replay(executionId, { store })).rejects.toThrow(/was stopped before its first step, .* --resume /);
    const resumed = await train(undefined as never, { store, resume: executionId });
    expect([resumed.weightsHash, resumed.valLoss]).toEqual([whole.weightsHash, whole.valLoss]);
    expect((await verify(executionId, { store })).problems).toEqual([]);
  });

  test("a tokenizer trained on the training split goes into the checkpoint, and generate uses it", async () => {
    const store = new MemoryStore();
    const { executionId } = await train(config({ tokenizer: { train: "bpe", vocabSize: 280 } }), { store });
    const model = await t.loadModel({ store, folder: `${executionId}/checkpoints/step-000012` });
    expect(model.vocabSize).toBeGreaterThan(256);
    expect(model.tokenizer!.encode("the fox").ids.length).toBeLessThan(7);
    const { text: written } = await model.generate("the fox", { maxTokens: 4, temperature: 0 });
    expect(typeof written).toBe("string");
    model.dispose();
  });

  test("the micro-batches of a step are summed and divided once", async () => {
    const store = new MemoryStore();
    const result = await train(config({}, { accumulate: 3, steps: 3 }), { store });
    expect(Number.isFinite(result.trainLoss)).toBe(true);
  });

  test.each([
    ["a misspelt key", { trainin: {} }, /did you mean "training"|training/i],
    ["a missing file", { data: { text: "nowhere.txt" } }, /nowhere\.txt: cannot be read, no such file/],
    ["another precision", { precision: "float16" }, /float32/],
    ["a budget that is too small", { memoryBudget: 200_000 }, /batch size/i],
  ])("%s is refused", async (_, more, message) => {
    await expect(train({ ...config(), ...more } as never, { store: new MemoryStore() }).result).rejects.toThrow(
      message,
    );
  });

  test("the batch size that is said to fit does, with the optimizer's moments, and one more does not", async () => {
    const problem = async (memoryBudget: number, batchSize: number): Promise<number | undefined> => {
      const model = { model_type: "gpt2", n_layer: 2, n_head: 2, n_embd: 64 };
      const training = { batchSize, blockSize: 32, steps: 3, sampleEvery: 0 };
      const run = train(config({ model, memoryBudget, device: "cpu" }, training), { store: new MemoryStore() });
      return run.result.then(
        () => undefined,
        ({ details }) => details.batchSize,
      );
    };
    expect(await problem(2e6, 16)).toBe(0);
    for (const budget of [2.5e6, 4e6]) {
      const fits = (await problem(budget, 16))!;
      expect(fits).toBeGreaterThan(0);
      expect(await problem(budget, fits)).toBeUndefined();
      expect(await problem(budget, fits + 1)).toBe(fits);
    }
  });

  test("of a step whose update does not fit nothing is left", async () => {
    const { live } = t.memory();
    const tiny = { model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 64 }, memoryBudget: 750_000 };
    const run = train(config(tiny, { batchSize: 1, blockSize: 2 }), { store: new MemoryStore() });
    const { message } = await run.result.catch((error) => error);
    expect(message).toMatch(/Not even a batch size of 1 fits/);
    expect(t.memory().live).toBe(live);
  });

  test("device and memory budget of a run, done or failed, end with it", async () => {
    await t.init({ device: "reference", memoryBudget: 1e9 });
    const tiny = { ...config({}, { steps: 1 }), device: "cpu" as const };
    const first = train(tiny, { store: new MemoryStore() });
    const poor = train({ ...tiny, memoryBudget: 200_000 }, { store: new MemoryStore() });
    expect((await Promise.allSettled([first, poor]))[1].status).toBe("rejected");
    expect(t.ones([1]).device).toBe("reference");
    expect(() => t.ones([300_000_000])).toThrow(/of a budget of 953\.7 MiB/);
    await t.init({ device: "cpu", memoryBudget: undefined });
  });

  test("numerics and threads of a run end with it too, and tensors made before go on", async () => {
    await t.init({ device: "cpu", threads: 1 });
    const before = t.tensor([1, 2]);
    await train(config({ numerics: "fast", threads: 2 }, { steps: 2 }), { store: new MemoryStore() });
    const { numerics, threads } = t.capabilities();
    expect([numerics, threads]).toEqual(["portable", 1]);
    expect(await before.add(t.tensor([3, 4])).toArray()).toEqual([4, 6]);
    before.dispose();
    // The device that was put back may be replaced again, and is closed then.
    await t.init({ device: "cpu", threads: 2 });
    expect(await t.tensor([1]).add(1).toArray()).toEqual([2]);
  });

  test("runs side by side: the process is afterwards what it was, whichever ends first", async () => {
    const told: string[] = [];
    const listener = ({ code }: t.Warning) => void told.push(code);
    const before = t.setWarningListener(listener);
    try {
      const small = (steps: number) =>
        config({ deterministic: true }, { steps, learningRate: 1e30, warmupSteps: 0, sampleEvery: 0 });
      const first = train(small(40), { store: new MemoryStore() });
      let second: typeof first | undefined;
      for await (const { type } of first)
        if (type === "step") second ??= train(small(80), { store: new MemoryStore() });
      const events = await collect(second!);
      expect(determinism()).toBe("warn");
      // Both diverge; each tells of its own once, and the process hears of both.
      expect(events.filter(({ type }) => type === "warning")).toHaveLength(1);
      expect(told.filter((code) => code === "loss-not-finite").length).toBe(2);
    } finally {
      expect(t.setWarningListener(before)).toBe(listener);
    }
  });

  test("a run that diverges goes on to its end, where it cannot write samples any more", async () => {
    const store = new MemoryStore();
    const events = await collect(train(config({}, { learningRate: 1e30, sampleEvery: 1 }), { store }));
    const done = events.at(-1);
    expect(done).toMatchObject({ type: "done", result: { steps: 12 } });
    const divergedAt = (done as Extract<TrainingEvent, { type: "done" }>).result.divergedAt!;
    expect(divergedAt).toBe(2);
    expect(events.flatMap((event) => (event.type === "warning" ? [event.code] : []))).toEqual([
      "sample-left-out",
      "loss-not-finite",
    ]);
    expect(events.some(({ type }) => type === "sample")).toBe(false);
  });

  test("what cannot go on frees what it loaded, and leaves the run as it was", async () => {
    const store = new MemoryStore();
    const run = train(config({}, { steps: 400 }), { store });
    for await (const event of run) if (event.type === "step" && event.step === 3) break;
    const { executionId } = await run.stop();
    const read = async (name: string) => new TextDecoder().decode(await store.read(`${executionId}/${name}`));
    const files = await Promise.all(["manifest.json", "metrics.jsonl"].map(read));
    const live = t.memory().live;

    const given = await read("config.json");
    const edited = given.replace('"steps": 400', '"steps": 500');
    expect(edited).not.toBe(given);
    await store.write(`${executionId}/config.json`, new TextEncoder().encode(edited));
    await expect(train(undefined as never, { store, resume: executionId }).result).rejects.toThrow(
      /cannot go on, its config changed: training\.steps was 400, is 500/,
    );
    await store.write(`${executionId}/config.json`, new TextEncoder().encode(given));
    const release = await store.lock(`${executionId}/run.lock`);
    await expect(train(undefined as never, { store, resume: executionId }).result).rejects.toThrow(/is locked/);
    await release();
    expect(t.memory().live).toBe(live);
    expect(await Promise.all(["manifest.json", "metrics.jsonl"].map(read))).toEqual(files);
  });

  test("text shorter than a block, empty text", async () => {
    await writeFile(join(folder, "short.txt"), "hello");
    await writeFile(join(folder, "empty.txt"), "");
    await expect(
      train(config({ data: { text: join(folder, "short.txt") } }), { store: new MemoryStore() }).result,
    ).rejects.toThrow(/short\.txt: needs at least 17 tokens/);
    await expect(
      train(config({ data: { text: join(folder, "empty.txt") } }), { store: new MemoryStore() }).result,
    ).rejects.toThrow(/empty\.txt: holds no text/);
  });
});

describe("train in code", () => {
  test("a linear regression on a bare tensor", async () => {
    const weight = t.zeros([2, 1], { requiresGrad: true });
    const x = t.tensor([
      [1, 0],
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
    const y = t.tensor([[2], [-1], [1], [3]]);
    const run = train(
      {
        parameters: { weight },
        loss: ([x, y]) => t.mseLoss(x.matmul(weight), y),
        batches: [[x, y]],
        training: { steps: 300, learningRate: 0.05, weightDecay: 0 },
      },
      { store: new MemoryStore() },
    );
    const { trainLoss } = await run;
    expect(trainLoss).toBeLessThan(1e-3);
    const found = (await weight.data()) as Float32Array;
    expect(found[0]).toBeCloseTo(2, 1);
    expect(found[1]).toBeCloseTo(-1, 1);
  });

  test("an optimizer of the user's begins at its own rates, unless the run is told another", async () => {
    const step = async (training: object) => {
      const [slow, fast] = [t.zeros([1], { requiresGrad: true }), t.zeros([1], { requiresGrad: true })];
      const optimizer = new SGD([
        { params: [["slow", slow]], lr: 0.25 },
        { params: [["fast", fast]], lr: 0.5 },
      ]);
      const still = { steps: 1, schedule: "constant", warmupSteps: 0, clipNorm: null, ...training } as const;
      const task = { parameters: { slow, fast }, loss: () => slow.add(fast).mul(-1).sum(), batches: [[1]], optimizer };
      await train({ ...task, training: still }, { store: new MemoryStore() });
      const values = [await slow.item(), await fast.item()];
      for (const made of [optimizer, slow, fast]) made.dispose();
      return values;
    };
    expect(await step({})).toEqual([0.25, 0.5]);
    expect(await step({ learningRate: 1 })).toEqual([1, 2]);
  });

  test("a model that was loaded goes on with batches of trainStep, and its checkpoints are models", async () => {
    const config = { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8, n_positions: 8, vocab_size: 10 };
    const model = await t.createModel(config, undefined, { seed: 1, device: "cpu" });
    const tokens = tokensInMemory(Int32Array.from({ length: 60 }, (_, i) => i % 10));
    const store = new MemoryStore();
    const flat = new TokenBlocks(tokens, { blockSize: 6, batchSize: 4, seed: 1 });
    const { executionId } = await train({ model, batches: flat, training: { steps: 3 } }, { store });
    const at = `${executionId}/checkpoints/step-000003`;
    const file = async (name: string) => new Blob([await store.read(`${at}/${name}`)]);
    const names = ["config.json", "model.safetensors"];
    const copy = await t.loadModel(Object.fromEntries(await Promise.all(names.map(async (n) => [n, await file(n)]))));
    expect(await t.hashWeights(copy)).toBe(await t.hashWeights(model));
    const batch = { ids: [[1, 2, 3]], labels: [[1, -100, 3]] };
    model.eval();
    const [whole, apart] = t.tidy(() => [model.loss(batch), model.loss(batch.ids, batch.labels)]);
    expect(await whole.item()).toBe(await apart.item());
    for (const made of [whole, apart, copy, model]) made.dispose();
  });

  test("what would be ignored is refused, and a loss that is none by name", async () => {
    const w = t.zeros([1], { requiresGrad: true });
    const loss = () => w.sum();
    const model = new Linear(1, 1);
    const rows: [object, RegExp][] = [
      [{ model, loss }, /^train: needs model or loss, got both\. A model brings/],
      [{ model, parameters: { w } }, /^train: needs model or parameters, got both\./],
      [{ parameters: { w }, loss, step: () => 1 }, /^train: needs step or loss, got both\. A step/],
      [{ parameters: { w }, loss: async () => 1 }, /^train: needs a tensor from loss\(batch\), got a Promise\./],
    ];
    for (const [task, message] of rows)
      await expect(
        train({ batches: [[1]], training: { steps: 1 }, ...task } as never, { store: new MemoryStore() }),
      ).rejects.toThrow(message);
    await expect(train({ data: { corpus: "tales" }, optimizer: "adam" } as never)).rejects.toThrow(/optimizer/);
    for (const made of [w, model]) made.dispose();
  });

  test("an optimizer of the user's keeps what it learnt, and comes back with its learning rates", async () => {
    const [slow, fast] = [t.ones([1], { requiresGrad: true }), t.ones([1], { requiresGrad: true })];
    const optimizer = new Adam([
      { params: [["slow", slow]], lr: 0.25 },
      { params: [["fast", fast]], lr: 0.5 },
    ]);
    const task = { parameters: { slow, fast }, loss: () => slow.add(fast).square().sum(), batches: [[1]], optimizer };
    await train({ ...task, training: { steps: 3 } }, { store: new MemoryStore() });
    const { steps, tensors } = optimizer.stateDict();
    expect(steps).toEqual({ slow: 3, fast: 3 });
    expect(Number(await tensors["slow.expAvgSq"].item())).toBeGreaterThan(0);
    expect(optimizer.groups.map(({ options }) => options.lr)).toEqual([0.25, 0.5]);
    for (const made of [optimizer, slow, fast]) made.dispose();
  });
});
