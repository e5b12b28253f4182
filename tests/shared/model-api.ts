/**
 * The model's five calls as users make them, in one file that runs unchanged in Node and in a page:
 * createModel, loadModel, save, trainStep, generate; with plain arrays, typed arrays and tensors; and what they refuse.
 */
import * as t from "tenon";
import { SGD } from "tenon/optim";
import { MemoryStore } from "tenon/runs";
import { beforeAll, describe, expect, test } from "vitest";

const noDropout = { attn_pdrop: 0, embd_pdrop: 0, resid_pdrop: 0 };
const config = { model_type: "gpt2", n_layer: 2, n_head: 2, n_embd: 8, n_positions: 8, vocab_size: 11, ...noDropout };
const rows = [
  [1, 2, 3, 4, 5],
  [6, 7, 8, 9, 10],
];
const create = (seed = 1) => t.createModel(config, undefined, { seed });

export function testModelApi(open: () => Promise<unknown>): void {
  beforeAll(async () => void (await open()));

  describe("trainStep", () => {
    test("takes plain arrays, typed arrays and tensors: the same step", async () => {
      const ids = t.tensor(rows, { dtype: "int32" });
      const batches = [
        { ids: rows },
        { ids: rows.map((row) => new Int32Array(row)) },
        { ids: rows.map((row) => new Uint8Array(row)) },
        { ids: new Int32Array(rows.flat()), shape: [2, 5] },
        { ids },
        { ids: rows, labels: rows },
      ];
      const results: [number, number, string][] = [];
      for (const batch of batches) {
        const model = await create();
        const { loss, gradNorm } = await model.trainStep(batch, { learningRate: 1e-2 });
        results.push([loss, gradNorm, await t.hashWeights(model)]);
        model.dispose();
      }
      ids.dispose();
      for (const result of results) expect(result).toEqual(results[0]);
      expect(results[0][0]).toBeGreaterThan(0);
    });

    test("lowers the loss", async () => {
      const model = await create();
      const losses: number[] = [];
      for (let i = 0; i < 10; i++)
        losses.push((await model.trainStep({ ids: rows }, { learningRate: 1e-2, clipNorm: 1 })).loss);
      expect(losses[9]).toBeLessThan(losses[0] - 0.3);
      model.dispose();
    });

    test("labels of -100 count for nothing", async () => {
      const model = await create();
      const labels = rows.map((row, i) => row.map((id) => (i === 0 ? id : -100)));
      const [both, first] = t.tidy(() => [model.loss(rows, labels), model.loss([rows[0]])]);
      expect(await both.item()).toBe(await first.item());
      for (const each of [both, first, model]) each.dispose();
    });

    test.each<[string, object, string | RegExp]>([
      ["no batch", {}, /^trainStep: needs a batch \{ ids, labels\? \}, got/],
      ["ragged rows", { ids: [[1, 2, 3], [4]] }, /^loss: needs rows of one length, got 3 and 1 \(row 1\)\./],
      ["an id outside the vocabulary", { ids: [[1, 2, 11]] }, /^loss: needs ids from 0 to 10, got 11 at position 2\./],
      ["a negative id", { ids: [[1, -1]] }, /^loss: needs ids from 0 to 10, got -1 at position 1\./],
      ["a fraction", { ids: [[1, 2.5]] }, /^loss: needs ids from 0 to 10, got 2\.5/],
      [
        "labels of another shape",
        { ids: rows, labels: [[1, 2]] },
        "loss: needs labels of the shape of the ids, got [1, 2] and [2, 5].",
      ],
      ["more than the context", { ids: [new Array(10).fill(1)] }, /^loss: needs at most 9 tokens in a row, got 10\./],
      ["one token", { ids: [[1]] }, /^loss: needs at least 2 tokens in a row, got 1\./],
      [
        "a flat array that does not fit its shape",
        { ids: [1, 2, 3], shape: [2, 2] },
        /^loss: needs a flat array for shape \[2, 2\], got 3 values\./,
      ],
    ])("refuses %s, and the model goes on", async (_, batch, message) => {
      const model = await create();
      await expect(model.trainStep(batch as any)).rejects.toThrow(message);
      expect((await model.trainStep({ ids: rows })).loss).toBeGreaterThan(0);
      model.dispose();
    });

    test("goes on after to(), whose parameters are new ones, and its options stay", async () => {
      const moved = await create();
      await moved.trainStep({ ids: rows }, { learningRate: 1e-2, weightDecay: 0.5 });
      const fresh = await create();
      fresh.loadStateDict(moved.stateDict());
      moved.to({ dtype: "float32" });
      const first = await moved.trainStep({ ids: rows });
      expect(first).toEqual(await fresh.trainStep({ ids: rows }, { learningRate: 1e-2, weightDecay: 0.5 }));
      expect(await t.hashWeights(moved)).toBe(await t.hashWeights(fresh));
      const optimizer = new SGD(moved.namedParameters(), { lr: 0.1 });
      await moved.trainStep({ ids: rows }, { optimizer });
      moved.to({ dtype: "float32" });
      await expect(moved.trainStep({ ids: rows }, { optimizer })).rejects.toThrow(
        "trainStep: needs an optimizer of the model's parameters",
      );
      for (const each of [optimizer, moved, fresh]) each.dispose();
    });

    test("takes the options of its AdamW at any step", async () => {
      const [early, late] = [await create(), await create()];
      await early.trainStep({ ids: rows }, { learningRate: 0, weightDecay: 0.5, betas: [0.5, 0.9], eps: 1e-6 });
      await late.trainStep({ ids: rows }, { learningRate: 0, betas: [0.5, 0.9] });
      await early.trainStep({ ids: rows }, { learningRate: 1e-2 });
      await late.trainStep({ ids: rows }, { learningRate: 1e-2, weightDecay: 0.5, eps: 1e-6 });
      expect(await t.hashWeights(early)).toBe(await t.hashWeights(late));
      for (const each of [early, late]) each.dispose();
    });

    test("refuses float ids in tensors, ids of tensors outside the vocabulary, and unknown options", async () => {
      const model = await create();
      const [floats, large] = [t.ones([1, 3]), t.tensor([[1, 12]], { dtype: "int32" })];
      await expect(model.trainStep({ ids: floats })).rejects.toThrow(
        'loss: needs int32 ids, got float32. Convert with .to({ dtype: "int32" }).',
      );
      await expect(model.trainStep({ ids: large })).rejects.toThrow(t.IndexError);
      await expect(model.trainStep({ ids: rows }, { lerningRate: 1 } as any)).rejects.toThrow(
        'trainStep: has no option "lerningRate". Did you mean "learningRate"?',
      );
      for (const each of [floats, large, model]) each.dispose();
    });
  });

  describe("generate", () => {
    test("gives tokens for ids; a batch gives what each prompt gives alone", async () => {
      const model = await create();
      const options = { temperature: 0, maxTokens: 3, ignoreEos: true };
      const alone = [await model.generate([1, 2], options), await model.generate([5], options)];
      const both = await model.generate([[1, 2], [5]], options);
      expect(both.map(({ tokens }) => tokens)).toEqual(alone.map(({ tokens }) => tokens));
      expect(alone[0].tokens.length).toBe(3);
      const seeded = { maxTokens: 4, seed: 5, temperature: 1, ignoreEos: true };
      expect((await model.generate([1], seeded)).tokens).toEqual((await model.generate([1], seeded)).tokens);
      model.dispose();
    });

    test.each<[string, any, object, RegExp]>([
      ["an empty prompt", [], {}, /^generate: /],
      ["an id outside the vocabulary", [11], {}, /^generate: needs token ids from 0 to 10, got 11\./],
      ["text without a tokenizer", "hello", {}, /^generate: .*tokenizer/],
      [
        "a temperature below 0",
        [1],
        { temperature: -1 },
        /^generate: needs a number from 0 up for temperature, got -1\./,
      ],
      ["a misspelt option", [1], { topk: 3 }, /^generate: has no option "topk"\. Did you mean "topK"\?/],
    ])("refuses %s", async (_, prompt, options, message) => {
      const model = await create();
      await expect(model.generate(prompt, { maxTokens: 1, ...options })).rejects.toThrow(message);
      model.dispose();
    });
  });

  describe("createModel, save and loadModel", () => {
    test("what was saved loads with the same bits, and generates the same", async () => {
      const model = await create();
      const store = new MemoryStore();
      await model.save({ store, folder: "m" });
      const files: Record<string, Uint8Array> = {};
      for (const name of ["config.json", "model.safetensors", "generation_config.json"])
        files[name] = await store.read(`m/${name}`);
      const loaded = await t.loadModel(files);
      expect(await t.hashWeights(loaded)).toBe(await t.hashWeights(model));
      const manifest = JSON.parse(new TextDecoder().decode(await store.read("m/manifest.json")));
      expect(manifest.weightsHash).toBe(await t.hashWeights(model));
      const options = { temperature: 0, maxTokens: 4, ignoreEos: true };
      expect((await loaded.generate([3], options)).tokens).toEqual((await model.generate([3], options)).tokens);
      for (const each of [model, loaded]) each.dispose();
    });

    test("given weights may be plain arrays in records; they are copied", async () => {
      const model = await create(1);
      const weights = Object.fromEntries(
        await Promise.all(
          Object.entries(model.stateDict()).map(
            async ([name, x]) => [name, { dtype: "F32", shape: x.shape, data: await x.data() }] as const,
          ),
        ),
      );
      const copy = await t.createModel(config, weights);
      expect(await t.hashWeights(copy)).toBe(await t.hashWeights(model));
      for (const each of [model, copy]) each.dispose();
    });

    test("seeds give equal weights, others do not", async () => {
      const models = [await create(1), await create(1), await create(2)];
      const [a, b, c] = await Promise.all(models.map(t.hashWeights));
      expect(a).toBe(b);
      expect(a).not.toBe(c);
      for (const model of models) model.dispose();
    });

    test.each<[string, () => Promise<unknown>, RegExp]>([
      [
        "an unknown family",
        () => t.createModel({ ...config, model_type: "gpt3" }),
        /^createModel: unknown model_type "gpt3"\. Did you mean "gpt2"\?/,
      ],
      ["no config", () => t.createModel(undefined as any), /^createModel: needs a config object, got undefined\./],
      ["heads that do not divide", () => t.createModel({ ...config, n_head: 3 }), /n_head/],
      ["a missing weight", () => t.createModel(config, {}), /^createModel: needs exactly .* missing /],
      ["a folder without a config", () => t.loadModel({}), /config\.json expected, found none/],
      [
        "a file cut short",
        () =>
          t.loadModel({
            "config.json": new TextEncoder().encode(JSON.stringify(config)),
            "model.safetensors": new Uint8Array(4),
          }),
        /model\.safetensors/,
      ],
    ])("refuses %s", async (_, run, message) => {
      // Only the text: an error that is kept keeps what it was thrown from.
      const refusal = await run().then(String, (error: Error) => error.message);
      expect(refusal).toMatch(message);
    });
  });
}
