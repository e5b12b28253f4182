/** Weights of any module as safetensors: written, read elsewhere, and back. */

import {
  createModel,
  init,
  loadModel,
  loadWeights,
  MemoryBudgetError,
  manualSeed,
  memory,
  ones,
  saveWeights,
  stateValues,
  tidy,
  zeros,
} from "tenon";
import { readSafetensors } from "tenon/artifacts";
import { LayerNorm, Linear, Module } from "tenon/nn";
import { AdamW } from "tenon/optim";
import { beforeAll, expect, test } from "vitest";
import { Sha256 } from "../../src/core/sha256.js";
import { hashWeights } from "../../src/models/index.js";

class Net extends Module {
  first = new Linear(3, 4);
  norm = new LayerNorm(4);
  forward(x: ReturnType<typeof zeros>) {
    return this.norm.forward(this.first.forward(x));
  }
}

beforeAll(async () => void (await init({ device: "cpu", threads: 1 })));

test("a module of the user's, with tensors of several dtypes, comes back with its bits", async () => {
  manualSeed(1);
  const net = new Net();
  net.registerBuffer("steps", zeros([2], { dtype: "int32" }));
  net.norm.to({ dtype: "bfloat16" });
  const file = await saveWeights(net);
  expect(Object.fromEntries(Object.entries(readSafetensors(file).tensors).map(([k, v]) => [k, v.dtype]))).toEqual({
    ...{ "first.weight": "F32", "first.bias": "F32", "norm.weight": "BF16", "norm.bias": "BF16", steps: "I32" },
  });
  expect(await hashWeights(net)).toBe(new Sha256().update(file).digest());
  manualSeed(2);
  const other = new Net();
  other.registerBuffer("steps", zeros([2], { dtype: "int32" }));
  expect(loadWeights(other, file)).toEqual({ missing: [], unexpected: [] });
  expect(await other.first.weight.toArray()).toEqual(await net.first.weight.toArray());
  const { live } = memory();
  expect(tidy(() => loadWeights(net.first, file.slice().buffer, { strict: false }))).toMatchObject({
    missing: ["weight", "bias"],
  });
  expect(memory().live).toBe(live);
  expect(() => loadWeights(net.first, file)).toThrow(/missing weight, bias and unexpected/);
  expect(() => loadWeights(net, file.subarray(0, 20))).toThrow(/^loadWeights: at byte 0 a header of at most/);
  net.dispose();
  other.dispose();
});

test("an optimizer's moments go through a file too", async () => {
  manualSeed(1);
  const make = () => {
    const net = new Net();
    return { net, optimizer: new AdamW(net.namedParameters(), { lr: 0.1 }) };
  };
  const step = ({ net, optimizer }: ReturnType<typeof make>) =>
    tidy(() => {
      net.zeroGrad();
      net
        .forward(ones([2, 3]))
        .square()
        .mean()
        .backward();
      optimizer.step();
    });
  const first = make();
  step(first);
  const { tensors, ...rest } = first.optimizer.stateDict();
  const [weights, moments] = [await saveWeights(first.net), await saveWeights(tensors)];
  const second = make();
  loadWeights(second.net, weights);
  const restored = readSafetensors(moments).tensors;
  expect(() => second.optimizer.loadStateDict({ ...rest, tensors: restored as never })).toThrow(
    'got "F32". Of a safetensors file: stateValues(readSafetensors(file).tensors).',
  );
  second.optimizer.loadStateDict({ ...rest, tensors: stateValues(restored) });
  for (const each of [first, second]) step(each);
  expect(await hashWeights(second.net)).toBe(await hashWeights(first.net));
  for (const { net, optimizer } of [first, second]) for (const each of [net, optimizer]) each.dispose();
});

test("a folder whose tokenizer is vocab.json and merges.txt, as GPT-2's older ones", async () => {
  const config = { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 4, n_positions: 4, vocab_size: 3 };
  const model = await createModel(config, undefined, { seed: 1 });
  const utf8 = (text: string) => new TextEncoder().encode(text);
  const files = {
    "config.json": utf8(JSON.stringify(config)),
    "model.safetensors": await saveWeights(model),
    "vocab.json": utf8('{"a":0,"b":1,"ab":2}'),
    "merges.txt": utf8("#version: 0.2\na b\n"),
  };
  const copy = await loadModel(files);
  expect([...copy.tokenizer!.encode("abb").ids]).toEqual([2, 1]);
  for (const each of [model, copy]) each.dispose();
});

test("weights whose values are in another kind of array than their dtype says are refused", async () => {
  const config = { model_type: "mlp", in_features: 2, out_features: 1, task: "regression", hidden_sizes: [] };
  const create = (dtype: string, data: unknown) =>
    createModel(config, {
      "head.weight": { dtype, shape: [1, 2], data },
      "head.bias": { dtype: "F32", shape: [1], data: new Float32Array(1) },
    } as any);
  await expect(create("F32", [7, 8])).rejects.toThrow("head.weight: needs a Float32Array for float32, got an array.");
  await expect(create("F64", [7, 8])).rejects.toThrow("head.weight: needs a Float64Array for F64, got an array.");
  await expect(create("I64", new Int32Array([7, 8]))).rejects.toThrow(
    "needs a BigInt64Array for I64, got an Int32Array",
  );
  const model = await create("F64", new Float64Array([7, 8]));
  expect(await Object.values(model.stateDict())[0].toArray()).toEqual([[7, 8]]);
  model.dispose();
});

test("a model for which there is no memory leaves none of it behind", async () => {
  const config = { model_type: "gpt2", n_layer: 6, n_embd: 64, n_head: 2, vocab_size: 50, n_positions: 16 };
  const { live } = memory();
  await init({ memoryBudget: live + 2 ** 20 });
  try {
    await expect(createModel(config)).rejects.toThrow(MemoryBudgetError);
    expect(memory().live).toBe(live);
    (await createModel({ ...config, n_layer: 2 })).dispose(); // 0.5 MiB
  } finally {
    await init({ memoryBudget: undefined });
  }
});

test("categories of a table's config are no parts of its model", async () => {
  const features = [
    ...[{ name: "a", kind: "category", width: 3, offset: 0, scale: 1, values: ["x", "y"] }],
    ...[{ name: "b", kind: "number", width: 1, offset: 0, scale: 1 }],
  ];
  const model = await createModel({ model_type: "mlp", hidden_sizes: [2], features, task: "regression" });
  const paths: string[] = [];
  model.visitParts((_, path) => paths.push(path));
  expect(paths).toContain("config");
  expect(paths.filter((path) => path.startsWith("config."))).toEqual([]);
  expect(Object.keys(model.stateDict())).toEqual(["layers.0.weight", "layers.0.bias", "head.weight", "head.bias"]);
  model.dispose();
});
