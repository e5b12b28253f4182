/** Layers call the right op with their own parameters; the ops' numbers are tested against PyTorch elsewhere. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { init as start } from "../../src/backend/devices.js";
import { Generator } from "../../src/core/random.js";
import * as nn from "../../src/nn/index.js";
import { gelu, klDiv, linear, sum } from "../../src/ops/index.js";
import { fromData, manualSeed, ones, rand, tensor, zeros } from "../../src/tensor/create.js";
import { tidy } from "../../src/tensor/scope.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import "../../src/tensor/autograd.js";
import "../../src/tensor/transfer.js";

beforeAll(() => start({ device: "reference" }));
afterAll(() => start({ device: "auto" }));

const values = async (x: Tensor) => [...(await x.data())];
const near = async (x: Tensor, want: readonly number[], digits = 5) => {
  const got = await values(x);
  expect(got.length).toBe(want.length);
  for (const [i, value] of got.entries()) expect(value).toBeCloseTo(want[i], digits);
};
const signal = (shape: number[]) => {
  const count = shape.reduce((a, b) => a * b, 1);
  return fromData(
    Array.from({ length: count }, (_, i) => Math.sin(i + 1)),
    shape,
  );
};

describe("Linear", () => {
  test("x W^T + b, with the weight either way around", async () => {
    const [plain, turned] = [new nn.Linear(2, 3), new nn.Linear(2, 3, { inOut: true })];
    const bias = tensor([10, 20, 30]);
    plain.loadStateDict({
      weight: tensor([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
      bias,
    });
    turned.loadStateDict({
      weight: tensor([
        [1, 3, 5],
        [2, 4, 6],
      ]),
      bias,
    });
    const x = tensor([
      [1, 1],
      [0, -1],
    ]);
    const want = [13, 27, 41, 8, 16, 24];
    await near(plain.forward(x), want);
    await near(turned.forward(x), want);
    expect(new nn.Linear(2, 3, { bias: false }).bias).toBeUndefined();
  });
});

test("Embedding looks rows up and sends gradients back to them", async () => {
  const table = new nn.Embedding(3, 2);
  table.loadStateDict({
    weight: tensor([
      [0, 1],
      [10, 11],
      [20, 21],
    ]),
  });
  const out = table.forward(tensor(new Int32Array([2, 2, 0])));
  await near(out, [20, 21, 20, 21, 0, 1]);
  sum(out).backward();
  await near(table.weight.grad!, [1, 1, 0, 0, 2, 2]);
});

describe("norms", () => {
  test("have mean 0 and variance 1, or mean square 1", async () => {
    const x = signal([3, 8]);
    const layer = await values(new nn.LayerNorm(8).forward(x));
    const rms = await values(new nn.RMSNorm(8).forward(x));
    for (let row = 0; row < 3; row++) {
      const own = (all: number[]) => all.slice(row * 8, row * 8 + 8);
      expect(own(layer).reduce((a, b) => a + b, 0) / 8).toBeCloseTo(0, 5);
      expect(own(layer).reduce((a, b) => a + b * b, 0) / 8).toBeCloseTo(1, 3);
      expect(own(rms).reduce((a, b) => a + b * b, 0) / 8).toBeCloseTo(1, 3);
    }
    expect(Object.keys(new nn.LayerNorm(8, { bias: false }).stateDict())).toEqual(["weight"]);
    expect(Object.keys(new nn.LayerNorm(8, { elementwiseAffine: false }).stateDict())).toEqual([]);
  });

  test("without a weight they are over the dims of normalizedShape all the same", async () => {
    const x = fromData([1, 2, 3, 10, 20, 30], [1, 2, 3]);
    for (const Norm of [nn.LayerNorm, nn.RMSNorm]) {
      const plain = new Norm([2, 3], { elementwiseAffine: false });
      await near(plain.forward(x), await values(new Norm([2, 3]).forward(x)));
      expect(plain.forward(x).shape).toEqual([1, 2, 3]);
      expect(() => plain.forward(zeros([3]))).toThrow(`${Norm.name}: needs x [..., 2, 3], got [3].`);
      expect(() => new Norm(5, { elementwiseAffine: false }).forward(zeros([1, 3]))).toThrow("needs x [..., 5], got");
      expect(() => new Norm([])).toThrow("needs at least 1 dim to normalise");
    }
  });

  test("group norm treats each group by itself", async () => {
    const norm = new nn.GroupNorm(2, 4);
    const out = await values(norm.forward(signal([1, 4, 3])));
    for (const group of [out.slice(0, 6), out.slice(6)]) {
      expect(group.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 4);
    }
  });
});

describe("Dropout", () => {
  test("works while training only, and follows its generator", async () => {
    const layer = new nn.Dropout(0.25);
    const x = ones([1000]);
    const draw = async (seed: number) => {
      nn.setGenerator(layer, new Generator(seed));
      return values(layer.forward(x));
    };
    const first = await draw(1);
    expect(first).toEqual(await draw(1));
    expect(first).not.toEqual(await draw(2));
    expect(new Set(first)).toEqual(new Set([0, Math.fround(4 / 3)]));
    layer.eval();
    expect(layer.forward(x)).toBe(x);
    expect(() => new nn.Dropout(1)).toThrow("needs a probability");
  });
});

describe("attention", () => {
  test("the causal path of MultiheadAttention equals the masked one", async () => {
    const layer = new nn.MultiheadAttention(8, 4, { kvHeads: 2 });
    const x = signal([2, 3, 8]);
    const mask = tensor([
      [true, false, false],
      [true, true, false],
      [true, true, true],
    ]);
    const causal = layer.forward(x, x, x, { isCausal: true });
    await near(layer.forward(x, x, x, { attnMask: mask }), await values(causal));
    expect(layer.forward(x, signal([2, 5, 8])).shape).toEqual([2, 3, 8]);
    expect(() => new nn.MultiheadAttention(8, 3)).toThrow(
      "MultiheadAttention: needs embedDim divisible by numHeads, got 8 and 3.",
    );
  });

  test("MultiheadAttention of no rows, of no positions, and of causal queries before the first key", async () => {
    const layer = new nn.MultiheadAttention(8, 4, { kvHeads: 2 });
    for (const shape of [
      [0, 3, 8],
      [2, 0, 8],
    ]) {
      for (const isCausal of [false, true]) {
        const x = zeros(shape, { requiresGrad: true });
        const out = layer.forward(x, x, x, { isCausal });
        expect(out.shape).toEqual(shape);
        sum(out).backward();
        expect(x.grad!.shape).toEqual(shape);
      }
    }
    const [x, memory] = [signal([1, 3, 8]), signal([1, 2, 8])];
    const mask = tensor([
      [false, false],
      [true, false],
      [true, true],
    ]);
    const masked = layer.forward(x, memory, memory, { attnMask: mask });
    await near(layer.forward(x, memory, memory, { isCausal: true }), await values(masked));
  });

  test("CausalSelfAttention is MultiheadAttention with its projections side by side", async () => {
    const apart = new nn.MultiheadAttention(8, 2);
    const packed = new nn.CausalSelfAttention(8, 2);
    const rows = (await Promise.all([apart.q_proj, apart.k_proj, apart.v_proj].map((p) => values(p.weight)))).flat();
    const biases = (await Promise.all([apart.q_proj, apart.k_proj, apart.v_proj].map((p) => values(p.bias!)))).flat();
    packed.c_attn.loadStateDict({ weight: fromData(rows, [24, 8]), bias: fromData(biases, [24]) });
    packed.c_proj.loadStateDict(apart.out_proj.stateDict());
    const x = signal([2, 5, 8]);
    await near(packed.forward(x), await values(apart.forward(x, x, x, { isCausal: true })));
  });
});

describe("convolution and pooling", () => {
  test("a window of ones sums", async () => {
    const conv = new nn.Conv2d(1, 1, 2);
    conv.loadStateDict({ weight: ones([1, 1, 2, 2]), bias: tensor([100]) });
    const x = fromData([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 1, 3, 3]);
    await near(conv.forward(x), [112, 116, 124, 128]);
    await near(new nn.MaxPool2d(2, { stride: 1 }).forward(x), [5, 6, 8, 9]);
    await near(new nn.AvgPool2d(2, { stride: 1 }).forward(x), [3, 4, 6, 7]);
    const line = new nn.Conv1d(1, 1, 3, { padding: 1, bias: false });
    line.loadStateDict({ weight: ones([1, 1, 3]) });
    await near(line.forward(fromData([1, 2, 3], [1, 1, 3])), [3, 6, 5]);
    expect(new nn.Flatten().forward(x).shape).toEqual([1, 9]);
  });
});

describe("recurrent cells", () => {
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  /** One unit, one input: weights, in gate order, for input and state, and biases. */
  const load = (cell: nn.LSTMCell | nn.GRUCell, ih: number[], hh: number[], b: number[]) =>
    cell.loadStateDict({
      weight_ih: fromData(ih, [ih.length, 1]),
      weight_hh: fromData(hh, [hh.length, 1]),
      bias_ih: tensor(b),
      bias_hh: tensor(b.map((x) => 2 * x)),
    });

  test("LSTM", async () => {
    const cell = new nn.LSTMCell(1, 1);
    load(cell, [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.01, 0.02, 0.03, 0.04]);
    const gate = (i: number) => 2 * [0.1, 0.2, 0.3, 0.4][i] + 0.25 * [0.5, 0.6, 0.7, 0.8][i] + 0.03 * (i + 1);
    const c = sigmoid(gate(1)) * -0.5 + sigmoid(gate(0)) * Math.tanh(gate(2));
    const [h, next] = cell.forward(tensor([[2]]), [tensor([[0.25]]), tensor([[-0.5]])]);
    await near(next, [c]);
    await near(h, [sigmoid(gate(3)) * Math.tanh(c)]);
  });

  test("GRU", async () => {
    const cell = new nn.GRUCell(1, 1);
    load(cell, [0.1, 0.2, 0.3], [0.5, 0.6, 0.7], [0.01, 0.02, 0.03]);
    const x = (i: number) => 2 * [0.1, 0.2, 0.3][i] + 0.01 * (i + 1);
    const h = (i: number) => 0.25 * [0.5, 0.6, 0.7][i] + 0.02 * (i + 1);
    const [r, z] = [sigmoid(x(0) + h(0)), sigmoid(x(1) + h(1))];
    const n = Math.tanh(x(2) + r * h(2));
    await near(cell.forward(tensor([[2]]), tensor([[0.25]])), [(1 - z) * n + z * 0.25]);
    expect(cell.forward(tensor([[2], [3]])).shape).toEqual([2, 1]);
  });
});

describe("activations and losses", () => {
  test("run the op with their options", async () => {
    const x = tensor([-1, 0, 2]);
    await near(new nn.ReLU().forward(x), [0, 0, 2]);
    await near(new nn.LeakyReLU(0.5).forward(x), [-0.5, 0, 2]);
    await near(new nn.GELU({ approximate: "tanh" }).forward(x), await values(gelu(x, { approximate: "tanh" })));
    await near(new nn.SiLU().forward(x), [-1 / (1 + Math.E), 0, 2 / (1 + Math.exp(-2))]);
    await near(new nn.Sigmoid().forward(x), [1 / (1 + Math.E), 0.5, 1 / (1 + Math.exp(-2))]);
    await near(new nn.Tanh().forward(x), [Math.tanh(-1), 0, Math.tanh(2)]);
    await near(new nn.Softplus().forward(x), [Math.log1p(Math.exp(-1)), Math.log(2), Math.log1p(Math.exp(2))]);
    await near(new nn.Softmax({ dim: 0 }).forward(tensor([[1], [1]])), [0.5, 0.5]);
    await near(new nn.LogSoftmax().forward(tensor([3, 3])), [-Math.LN2, -Math.LN2]);
  });

  test("losses reduce as told", async () => {
    const [a, b] = [tensor([1, 2, 6]), tensor([1, 4, 3])];
    await near(new nn.MSELoss().forward(a, b), [13 / 3]);
    await near(new nn.MSELoss({ reduction: "sum" }).forward(a, b), [13]);
    await near(new nn.L1Loss({ reduction: "none" }).forward(a, b), [0, 2, 3]);
    await near(new nn.HuberLoss({ delta: 2 }).forward(a, b), [(0 + 2 + 4) / 3]);
    await near(new nn.BCEWithLogitsLoss().forward(tensor([0]), tensor([1])), [Math.LN2]);
    const logits = tensor([
      [0, 0],
      [0, Math.log(3)],
    ]);
    const labels = tensor(new Int32Array([-100, 1]));
    await near(new nn.CrossEntropyLoss().forward(logits, labels), [Math.log(4 / 3)]);
    await near(new nn.NLLLoss().forward(new nn.LogSoftmax().forward(logits), labels), [Math.log(4 / 3)]);
    const p = tensor([[0.25, 0.75]]);
    await near(new nn.KLDivLoss({ reduction: "batchmean" }).forward(p.log(), p), [0]);
  });

  test("batchmean of a single number is that number's, as in PyTorch", async () => {
    const loss = klDiv(tensor(-1), tensor(0.5), { reduction: "batchmean" });
    await near(loss, [0.5 * (Math.log(0.5) + 1)]);
  });

  test("losses check their options when they are made", () => {
    const { CrossEntropyLoss, NLLLoss, MSELoss, L1Loss, HuberLoss, BCEWithLogitsLoss, KLDivLoss } = nn;
    for (const Loss of [CrossEntropyLoss, NLLLoss, MSELoss, L1Loss, HuberLoss, BCEWithLogitsLoss, KLDivLoss]) {
      expect(() => new Loss({ reduce: "sum" } as never)).toThrow(`${Loss.name}: has no option "reduce".`);
      expect(() => new Loss({ reduction: "max" as never })).toThrow(`${Loss.name}: needs "mean", "sum"`);
      expect(() => new Loss("sum" as never)).toThrow(`${Loss.name}: needs its options as an object`);
    }
    new nn.CrossEntropyLoss({ ignoreIndex: 0, labelSmoothing: 0.1, reduction: "none" });
    new nn.NLLLoss({ ignoreIndex: 0 });
  });
});

test("layers refuse sizes that are none, under their own name", () => {
  const rows: [() => unknown, string][] = [
    [
      () => new nn.MultiheadAttention(4, -2),
      "MultiheadAttention: needs a whole number from 1 up for numHeads, got -2.",
    ],
    [
      () => new nn.MultiheadAttention(4, 2, { kvHeads: 0 }),
      "MultiheadAttention: needs a whole number from 1 up for kvHeads, got 0.",
    ],
    [
      () => new nn.CausalSelfAttention(4.5, 1),
      "CausalSelfAttention: needs a whole number from 1 up for embedDim, got 4.5.",
    ],
  ];
  const count = (layer: string, name: string, got: unknown) =>
    `${layer}: needs a whole number from 1 up for ${name}, got ${got}.`;
  rows.push(
    [() => new nn.Linear(2.5, 3), count("Linear", "inFeatures", 2.5)],
    [() => new nn.Linear(2, undefined as never), count("Linear", "outFeatures", undefined)],
    [() => new nn.Embedding(0, 3), count("Embedding", "numEmbeddings", 0)],
    [() => new nn.LSTMCell(1, 1.5), count("LSTMCell", "hiddenSize", 1.5)],
    [() => new nn.GRUCell(-1, 2), count("GRUCell", "inputSize", -1)],
    [() => new nn.LayerNorm(2.5), "LayerNorm: needs a shape of whole numbers from 0 up, got [2.5]."],
    [() => new nn.RMSNorm([2, -1]), "RMSNorm: needs a shape of whole numbers from 0 up, got [2, -1]."],
    [() => new nn.GroupNorm(0.5, 4), count("GroupNorm", "numGroups", 0.5)],
    [() => new nn.GroupNorm(3, 4), "GroupNorm: needs numChannels divisible by numGroups, got 4 and 3."],
    [() => new nn.Conv2d(3, 8, 3, { groups: 2 }), "Conv2d: needs inChannels divisible by groups, got 3 and 2."],
    [() => new nn.Conv1d(2, 2, 3, { groups: -2 }), count("Conv1d", "groups", -2)],
    [
      () => new nn.Conv2d(3, 8, [3, 0]),
      "Conv2d: needs whole numbers from 1 up for kernelSize, one or two, got [3, 0].",
    ],
    [() => new nn.Conv1d(3, 8, 3, { padding: -1 }), "Conv1d: needs a whole number from 0 up for padding, got -1."],
    [() => new nn.Conv1d(3, 8, [3, 3] as never), count("Conv1d", "kernelSize", "[3, 3]")],
    [() => new nn.Conv1d(3, 8, 3, { stride: [1, 2] as never }), count("Conv1d", "stride", "[1, 2]")],
    [() => new nn.Conv1d(3, 8, 3, { dilation: [1, 2] as never }), count("Conv1d", "dilation", "[1, 2]")],
    [
      () => new nn.Conv1d(3, 8, 3, { padding: [1, 1] as never }),
      "Conv1d: needs a whole number from 0 up for padding, got [1, 1].",
    ],
    [() => new nn.GELU({ approximate: "tan" as never }), 'GELU: needs "none" or "tanh" for approximate, got "tan".'],
    [() => new nn.LeakyReLU("0.1" as never), 'LeakyReLU: needs a finite number for negativeSlope, got "0.1".'],
    [() => new nn.Softmax({ dim: 0.5 }), "Softmax: needs a whole number for dim, got 0.5."],
    [() => new nn.LogSoftmax({ dim: "1" as never }), 'LogSoftmax: needs a whole number for dim, got "1".'],
    [() => new nn.LayerNorm(2, { eps: "1e-5" as never }), 'LayerNorm: needs a finite number for eps, got "1e-5".'],
    [() => new nn.RMSNorm(2, { eps: Number.NaN }), "RMSNorm: needs a finite number for eps, got NaN."],
    [() => new nn.GroupNorm(1, 2, { eps: null as never }), "GroupNorm: needs a finite number for eps, got null."],
    [
      () => new nn.MaxPool2d(undefined as never),
      "MaxPool2d: needs whole numbers from 1 up for kernelSize, one or two, got undefined.",
    ],
    [
      () => new nn.AvgPool2d(2, { stride: 0.5 }),
      "AvgPool2d: needs whole numbers from 1 up for stride, one or two, got 0.5.",
    ],
    [
      () => new nn.CausalSelfAttention(4, 2, { droput: 0.1 } as object),
      'CausalSelfAttention: has no option "droput". Did you mean "dropout"?',
    ],
  );
  for (const [make, message] of rows) expect(make).toThrow(message);
});

test("a small network learns", async () => {
  const generator = new Generator(4);
  const net = new nn.Sequential(new nn.Linear(2, 8), new nn.Tanh(), new nn.Linear(8, 1));
  nn.initialize(net, { generator });
  const x = rand([64, 2], { generator });
  const target = linear(x, tensor([[1, -2]]), tensor([0.5]));
  const loss = new nn.MSELoss();
  const losses: number[] = [];
  for (let step = 0; step < 60; step++) {
    const value = loss.forward(net.forward(x), target);
    value.backward();
    losses.push(await value.item());
    for (const parameter of net.parameters()) {
      const view = parameter.view() as Float32Array;
      const grad = parameter.grad!.view()!;
      for (let i = 0; i < view.length; i++) view[i] -= 0.1 * grad[i];
    }
    net.zeroGrad();
  }
  expect(losses[59]).toBeLessThan(losses[0] / 10);
});

test("a network whose weights are all 16-bit floats computes what it would with those widened", async () => {
  const network = () => {
    manualSeed(3);
    return new nn.Sequential(
      new nn.Conv2d(2, 4, 3),
      new nn.GroupNorm(2, 4),
      new nn.Flatten(),
      new nn.LayerNorm(16),
      new nn.Linear(16, 6),
      new nn.RMSNorm(6),
      new nn.Linear(6, 3, { bias: false }),
    );
  };
  for (const dtype of ["float16", "bfloat16"] as const) {
    const [low, wide] = [network().to({ dtype }), network().to({ dtype }).to({ dtype: "float32" })];
    const x = rand([2, 2, 4, 4]);
    const results = [low, wide].map((net) => tidy(() => net.forward(x)));
    expect(await results[0].toArray()).toEqual(await results[1].toArray());
    for (const net of [low, wide]) tidy(() => net.forward(x).square().sum().backward());
    for (const [name, { grad }] of low.namedParameters()) expect(grad?.dtype, name).toBe(dtype);
    for (const each of [low, wide, x, ...results]) each.dispose();
  }
});

test("masks, inputs and states that are none are refused, with what would do", () => {
  const [x, flat] = [zeros([1, 4, 8]), zeros([4, 8])];
  const mask = tensor([[1, 1, 0, 0]], { dtype: "int32" });
  const attention = new nn.MultiheadAttention(8, 2);
  expect(() => tidy(() => attention.forward(x, undefined, undefined, { attnMask: mask }))).toThrow(
    "needs attnMask as bool (true attends) or as floats that are added, got int32. A mask of 0 and 1: attnMask.ne(0).",
  );
  expect(() => tidy(() => attention.forward(flat))).toThrow("MultiheadAttention: needs query [B, T, C], got [4, 8].");
  const cell = new nn.LSTMCell(8, 8);
  expect(() => tidy(() => cell.forward(flat, flat as never))).toThrow("LSTMCell: needs a state [h, c], got a Tensor.");
  expect(() => tidy(() => cell.forward(undefined as never))).toThrow("LSTMCell: needs a tensor for x, got undefined.");
  expect(() => tidy(() => new nn.GRUCell(4, 2).forward(ones([4])))).toThrow("GRUCell: needs x [B, 4], got [4].");
  for (const each of [x, flat, mask, attention, cell]) each.dispose();
});
