import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { init as start } from "../../src/backend/devices.js";
import { Generator } from "../../src/core/random.js";
import { Sha256 } from "../../src/core/sha256.js";
import {
  deferInit,
  Embedding,
  init,
  initialize,
  LayerNorm,
  Linear,
  Module,
  MultiheadAttention,
  Sequential,
} from "../../src/nn/index.js";
import { manualSeed, zeros } from "../../src/tensor/create.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import "../../src/tensor/transfer.js";

beforeAll(() => start({ device: "reference" }));
afterAll(() => start({ device: "auto" }));

const call = { key0: 1, key1: 2, call: 3 };

async function moments(of: Tensor): Promise<{ mean: number; std: number; max: number }> {
  const values = [...(await of.data())];
  const mean = values.reduce((s, x) => s + x, 0) / values.length;
  const variance = values.reduce((s, x) => s + (x - mean) ** 2, 0) / values.length;
  return { mean, std: Math.sqrt(variance), max: values.reduce((m, x) => Math.max(m, Math.abs(x)), 0) };
}

test("options in PyTorch's places, or misspelt, are refused", () => {
  const target = zeros([4, 4]);
  const loose = init as unknown as Record<string, (...args: unknown[]) => unknown>;
  expect(() => loose["normal_"](target, 0, 0.02)).toThrow("normal_: needs its options as an object, got 0.");
  expect(() => loose["uniform_"](target, { hihg: 2 })).toThrow('Did you mean "high"?');
  expect(() => loose["kaimingNormal_"](target, { A: 1 })).toThrow('kaimingNormal_: has no option "A"');
  expect(() => loose["xavierUniform_"](target, 2)).toThrow("xavierUniform_: needs its options as an object");
  expect(() => loose["kaimingNormal_"](target, { mode: "fan_in" })).toThrow(
    'kaimingNormal_: needs "fanIn" or "fanOut" for mode, got "fan_in".',
  );
  const known = '"linear", "sigmoid", "tanh", "relu" or "leakyRelu"';
  expect(() => loose["kaimingUniform_"](target, { nonlinearity: "leaky_relu" })).toThrow(
    `kaimingUniform_: needs ${known} for nonlinearity, got "leaky_relu".`,
  );
  expect(() => loose["gain"]("selu")).toThrow(`gain: needs ${known} for nonlinearity, got "selu".`);
  const model = new Linear(2, 2);
  expect(() => initialize(model, { generator: 5 } as object)).toThrow(
    "initialize: needs a Generator for generator, got 5.",
  );
  expect(() => initialize(model, { generatr: new Generator(1) } as object)).toThrow(
    'initialize: has no option "generatr". Did you mean "generator"?',
  );
});

test("what is no tensor, no number, no random call or no module is refused, under the function's own name", () => {
  const loose = init as unknown as Record<string, (...args: unknown[]) => unknown>;
  const names = Object.keys(init).filter((name) => name.endsWith("_"));
  expect(names.length).toBe(9);
  for (const name of names) {
    for (const [given, got] of [
      [undefined, "undefined"],
      [[1, 2], "an array"],
      [{ shape: [2, 2] }, "an object"],
    ] as const)
      expect(() => loose[name](given)).toThrow(`${name}: needs a tensor for target, got ${got}.`);
    if (/^(constant|zeros|ones)_$/.test(name)) continue;
    expect(() => loose[name](zeros([2, 2]), { call: new Generator(5) })).toThrow(
      `${name}: needs a random call for call, got a Generator.`,
    );
  }
  const target = zeros([2, 2]);
  expect(() => loose["constant_"](target)).toThrow("constant_: needs a number for value, got undefined.");
  for (const [name, option] of [
    ["uniform_", "low"],
    ["uniform_", "high"],
    ["normal_", "mean"],
    ["normal_", "std"],
    ["kaimingNormal_", "a"],
    ["xavierUniform_", "gain"],
  ])
    expect(() => loose[name](target, { [option]: "1" })).toThrow(
      `${name}: needs a finite number for ${option}, got "1".`,
    );
  expect(() => initialize(Linear as never)).toThrow("initialize: needs a module, got a function.");
  expect(() => initialize(new Linear(2, 2), { rule: init.normal_(target) } as never)).toThrow(
    "initialize: needs a function for rule, got a Tensor.",
  );
  expect(() => deferInit(new Linear(2, 2) as never)).toThrow("deferInit: needs a function for build, got a Linear.");
});

describe("distributions", () => {
  const weight = () => zeros([200, 50]);
  test("normal and uniform", async () => {
    const normal = await moments(init.normal_(weight(), { mean: 3, std: 0.5, call }));
    expect(normal.mean).toBeCloseTo(3, 1);
    expect(normal.std).toBeCloseTo(0.5, 1);
    const uniform = await moments(init.uniform_(weight(), { low: -2, high: 2, call }));
    expect(uniform.mean).toBeCloseTo(0, 1);
    expect(uniform.std).toBeCloseTo(4 / Math.sqrt(12), 1);
    expect(uniform.max).toBeLessThanOrEqual(2);
  });

  test("Kaiming: fan 50 in, 200 out; swapped for [in, out]", async () => {
    const std = async (of: Tensor) => (await moments(of)).std;
    const relu = { nonlinearity: "relu", call } as const;
    expect(await std(init.kaimingNormal_(weight(), relu))).toBeCloseTo(Math.sqrt(2 / 50), 2);
    expect(await std(init.kaimingNormal_(weight(), { ...relu, mode: "fanOut" }))).toBeCloseTo(Math.sqrt(2 / 200), 2);
    expect(await std(init.kaimingNormal_(weight(), { ...relu, inOut: true }))).toBeCloseTo(Math.sqrt(2 / 200), 2);
    const uniform = await moments(init.kaimingUniform_(weight(), { a: Math.sqrt(5), call }));
    expect(uniform.max).toBeLessThanOrEqual(1 / Math.sqrt(50));
    expect(uniform.max).toBeGreaterThan(0.99 / Math.sqrt(50));
  });

  test("Xavier: both fans", async () => {
    const normal = await moments(init.xavierNormal_(weight(), { call }));
    expect(normal.std).toBeCloseTo(Math.sqrt(2 / 250), 2);
    const uniform = await moments(init.xavierUniform_(weight(), { gain: 2, call }));
    expect(uniform.max).toBeLessThanOrEqual(2 * Math.sqrt(6 / 250));
    expect(uniform.std).toBeCloseTo(2 * Math.sqrt(2 / 250), 2);
  });

  test.each([
    [
      "float32",
      "8d1d4ccaf6d57c7e35e715557505c18befb1dc704eef1f2e7c77a55656e0d4f2",
      "0827c4fa1b5740ff8d40f6840293d3ce5ee059c5facde45902aaa543d6b43bf8",
    ],
    [
      "float16",
      "6e30512f77e7f9d7290c2801b71da63a9e396b9ae5d71e3bb56216357dcc5328",
      "c529391866b157231074b7e0a1189ffb0ffdbd16d641c7d57a6ac403b6df9718",
    ],
    [
      "bfloat16",
      "bc0ae30885ef750e7f08203ed19a9e5c3d05710e0ec51caf2dd42b3f63da808f",
      "25f4eff5cc39d7e12574d440746dee30c112c5c30d2514159a2e0f82074ec585",
    ],
  ] as const)("%s: rounded once from float64, the bits those of the first version", async (dtype, normal, kaiming) => {
    const hash = async (of: Tensor) => new Sha256().update(await of.bytes()).digest();
    const weight = () => zeros([101, 51], { dtype });
    expect(await hash(init.normal_(weight(), { mean: 0.1, std: 0.3, call }))).toBe(normal);
    expect(await hash(init.kaimingUniform_(weight(), { a: Math.sqrt(5), call }))).toBe(kaiming);
  });

  test("a vector has no fans", () => {
    for (const name of ["kaimingNormal_", "kaimingUniform_", "xavierNormal_", "xavierUniform_"] as const)
      expect(() => init[name](zeros([3]))).toThrow(`${name}: needs a weight of at least 2 dims, got 1.`);
    expect(() => init.fans([3])).toThrow("fans: needs a weight of at least 2 dims, got 1.");
  });
});

class Net extends Module {
  a!: Linear;
  b!: Linear;
  norm = new LayerNorm(3);
  constructor(order: readonly ("a" | "b")[]) {
    super();
    for (const name of order) this[name] = new Linear(3, 3);
  }
  forward(x: Tensor): Tensor {
    return this.b.forward(this.a.forward(x));
  }
}

describe("initialize", () => {
  test("a parameter's value depends on its name and the seed, not on the order of construction", async () => {
    const [first, second] = [new Net(["a", "b"]), new Net(["b", "a"])];
    for (const net of [first, second]) initialize(net, { generator: new Generator(5) });
    expect(await first.a.weight.toArray()).toEqual(await second.a.weight.toArray());
    expect(await first.b.bias!.toArray()).toEqual(await second.b.bias!.toArray());
    expect(await first.a.weight.toArray()).not.toEqual(await first.b.weight.toArray());
    const before = await first.a.weight.toArray();
    initialize(first, { generator: new Generator(6) });
    expect(await first.a.weight.toArray()).not.toEqual(before);
  });

  test("a tied parameter has the values of its first name", async () => {
    const [tied, apart] = [new Net(["a", "b"]), new Net(["a", "b"])];
    tied.b.weight = tied.a.weight;
    for (const net of [tied, apart]) initialize(net, { generator: new Generator(5) });
    expect(await tied.b.weight.toArray()).toEqual(await apart.a.weight.toArray());
  });

  test("modules that stand alone follow manualSeed", async () => {
    const make = () => {
      manualSeed(3);
      return [new Linear(2, 2), new Linear(2, 2)];
    };
    const [[a, b], [c]] = [make(), make()];
    expect(await a.weight.toArray()).toEqual(await c.weight.toArray());
    expect(await a.weight.toArray()).not.toEqual(await b.weight.toArray());
  });

  test("MultiheadAttention's, as PyTorch's, alone and in a model", async () => {
    const make = () => new MultiheadAttention(64, 4);
    const drawn = deferInit(make);
    initialize(drawn, { generator: new Generator(1) });
    for (const layer of [make(), drawn]) {
      for (const { weight, bias } of [layer.q_proj, layer.k_proj, layer.v_proj]) {
        const { max, std } = await moments(weight);
        const high = Math.sqrt(6 / (64 + 3 * 64)); // of the one matrix [3 * 64, 64]
        expect(max).toBeLessThanOrEqual(high);
        expect(std).toBeCloseTo(high / Math.sqrt(3), 2);
        expect(await moments(bias!)).toEqual({ mean: 0, std: 0, max: 0 });
      }
      expect((await moments(layer.out_proj.weight)).std).toBeCloseTo(1 / Math.sqrt(3 * 64), 2);
      expect((await moments(layer.out_proj.bias!)).max).toBe(0);
    }
  });

  test("GPT-2's rule", async () => {
    class Gpt extends Module {
      wte = new Embedding(100, 64);
      ln_f = new LayerNorm(64);
      c_proj = new Linear(64, 64);
      forward(x: Tensor): Tensor {
        return x;
      }
    }
    const gpt = deferInit(() => new Gpt());
    initialize(gpt, { generator: new Generator(1), rule: init.gpt2Rule(8) });
    expect((await moments(gpt.wte.weight)).std).toBeCloseTo(0.02, 3);
    expect((await moments(gpt.c_proj.weight)).std).toBeCloseTo(0.02 / 4, 4);
    expect(await moments(gpt.c_proj.bias!)).toEqual({ mean: 0, std: 0, max: 0 });
    expect(await moments(gpt.ln_f.weight!)).toEqual({ mean: 1, std: 0, max: 1 });
  });

  test("deferInit draws nothing", () => {
    const generator = new Generator(9);
    const net = deferInit(() => new Sequential(new Linear(2, 2)));
    initialize(net, { generator });
    expect(generator.getState()).toEqual({ seed: 9, calls: {} });
    expect(Number.isFinite((net.at(0) as Linear).weight.view()![0])).toBe(true);
  });

  test("sizes that are no whole numbers are refused", () => {
    expect(() => init.parameter([2.5])).toThrow("parameter: needs a shape of whole numbers");
  });
});
