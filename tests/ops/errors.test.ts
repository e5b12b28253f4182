/** What each operation refuses: under its own name, with the rule, what it got, and everything usable afterwards. */
import * as t from "tenon";
import "tenon/optim";
import { beforeAll, describe, expect, test } from "vitest";
import { argmaxInto } from "../../src/ops/argmax-into.js";
import { cachedAttention } from "../../src/ops/cache.js";
import * as ops from "../../src/ops/index.js";
import { dispatchOne } from "../../src/tensor/dispatch.js";
import { hostInputs, reductions, runSample, samples, upload } from "./samples.js";

beforeAll(async () => void (await t.init({ device: "cpu", threads: 1 })));

/** The error a call throws; nothing that it made stays alive. */
function refusal(call: () => unknown): t.TenonError {
  try {
    t.tidy(call);
  } catch (error) {
    expect(error, String((error as Error).stack)).toBeInstanceOf(t.TenonError);
    return error as t.TenonError;
  }
  throw new Error("nothing was refused");
}

const names = Object.keys(samples);
const inputsOf = (name: string) => hostInputs(name, 2).map((input) => upload(input, "cpu"));
/** Operations that move elements of every dtype, without arithmetic; the rows of an embedding among them. */
const moving = new Set(
  "reshape squeeze unsqueeze flatten permute transpose expand repeat slice narrow select flip pad cat stack split chunk unbind clone copy_ indexSelect gather embedding".split(
    " ",
  ),
);

/** Products, all of whose operands may have 16 bits; results are float32. */
const products = new Set(["matmul", "linear", "conv1d", "conv2d", "linearCrossEntropy", "einsum"]);

test("every public function has a sample", () => {
  const functions = Object.entries(ops).filter(([name, value]) => typeof value === "function" && name !== "defineOp");
  expect(functions.map(([name]) => name).filter((name) => !(name in samples))).toEqual([]);
});

describe.each(names)("%s", (name) => {
  const floats = samples[name].inputs.flatMap(({ dtype }, i) => (dtype === "float32" ? [i] : []));

  if (!moving.has(name) && !products.has(name) && floats.length > 0)
    test("has no arithmetic in a storage type", () => {
      t.tidy(() => {
        const inputs = inputsOf(name).map((x, i) => (floats.includes(i) ? x.to({ dtype: "bfloat16" }) : x));
        const error = refusal(() => runSample(name, inputs));
        expect(error).toBeInstanceOf(t.DTypeError);
        expect(error.message).toMatch(new RegExp(`^${name}: has no arithmetic in bfloat16, .* Convert `));
      });
    });

  if (samples[name].inputs.length > 1)
    test("names both devices, and the to() that helps", () => {
      t.tidy(() => {
        const inputs = inputsOf(name);
        inputs[1] = inputs[1].to({ device: "reference" });
        const error = refusal(() => runSample(name, inputs));
        expect(error).toBeInstanceOf(t.DeviceError);
        expect(error.message).toMatch(
          new RegExp(`^${name}: needs all inputs on one device, got (cpu and reference|reference and cpu)`),
        );
        expect(error.message).toMatch(/\.to\(\{ device: "(cpu|reference)" \}\)/);
      });
    });

  if (samples[name].options)
    test("refuses options that it does not know, and options that are none", () => {
      t.tidy(() => {
        const error = refusal(() => runSample(name, inputsOf(name), { nonsense: 1 }));
        expect(error).toBeInstanceOf(t.ConfigError);
        expect(error.message).toMatch(
          new RegExp(`^${name}: has no option "nonsense"\\. (Did you mean|Its options are)`),
        );
      });
    });

  test("refuses a disposed tensor", () => {
    t.tidy(() => {
      const inputs = inputsOf(name);
      inputs[inputs.length - 1].dispose();
      expect(refusal(() => runSample(name, inputs))).toBeInstanceOf(t.DisposedError);
    });
  });
});

describe("what is no tensor is refused as such by every function, and by those around them", () => {
  const functions = Object.entries(ops).filter(([name, value]) => typeof value === "function" && name !== "defineOp");
  const others: unknown[] = [undefined, null, "a", {}, 5, [[1, 2]], tensorLike()];
  /** A shape alone makes no tensor. */
  function tensorLike() {
    return { shape: [2], ndim: 1, dtype: "float32" };
  }

  test.each(functions)("%s", (_, fn) => {
    const call = fn as (...args: unknown[]) => unknown;
    const x = t.ones([2, 2]);
    for (const other of others) {
      for (const args of [[other], [other, 0], [x, other], [x, x, other], [x, 0, other], [x, x, x, other]]) {
        try {
          t.tidy(() => void call(...args));
        } catch (error) {
          expect(error, String((error as Error).stack)).toBeInstanceOf(t.TenonError);
          expect((error as Error).message).not.toMatch(/undefined-d|NaN to NaN/);
        }
      }
    }
    x.dispose();
  });

  test.each<[string, () => unknown, string]>([
    ["getOp", () => t.getOp(5 as any), "getOp: there is no op 5."],
    ["registerKernel", () => t.registerKernel(5 as any, "cpu", () => {}), "getOp: there is no op 5."],
    [
      "registerKernel without one",
      () => t.registerKernel("add", "cpu", null as any),
      "needs a function for add, got null",
    ],
    ["registerKernel's options", () => t.registerKernel("add", "cpu", () => {}, null as any), "needs its options"],
    ["defineOp", () => (t.defineOp as any)(), "defineOp: needs a definition, got undefined."],
    ["tidy", () => t.tidy(5 as any), "tidy: needs a function, got a number. Write tidy(() => …)."],
    ["noGrad", () => t.noGrad(null as any), "noGrad: needs a function, got null. Write noGrad(() => …)."],
    ["zerosLike", () => (t.zerosLike as any)(), "zerosLike: needs a tensor, got undefined."],
    ["onesLike's options", () => t.onesLike(t.tidy(() => t.zeros([0])) as any, null as any), "needs its options"],
    ["fromData", () => t.fromData(null as any, [2]), "fromData: needs 2 values for shape [2], got null."],
    ["flip without dims", () => (t.flip as any)(f(2)), "flip: needs an array of whole numbers, got undefined."],
    [
      "slice by an object",
      () => t.slice(f(2), {} as any),
      "slice: needs whole numbers and a step other than 0 ([start, end, step]) in dim 0, got an object",
    ],
    ["clamp by null", () => t.clamp(f(2), null as any), "clamp: needs its options as an object, got null."],
    [
      "groupNorm by numbers",
      () => t.groupNorm(f(1, 2, 2), 1, [1, 1] as any),
      "needs a tensor for weight, got an array",
    ],
    ["gruCell without weights", () => (t.gruCell as any)(f(1, 2), f(1, 2)), "gruCell: needs its options as an object"],
  ])("%s", (_, call, message) => {
    expect(refusal(call).message).toContain(message);
  });
});

const f = (...shape: number[]) => t.zeros(shape);
const i = (values: t.NestedData) => t.tensor(values, { dtype: "int32" });

type Row = [call: string, kind: new (...args: any[]) => t.TenonError, run: () => unknown, message: string | RegExp];

const wrong: Row[] = [
  // elementwise
  ...[
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "maximum",
    "minimum",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "logicalAnd",
    "logicalOr",
  ].map(
    (name): Row => [
      `${name} of shapes that do not broadcast`,
      t.ShapeError,
      () => (ops as any)[name](f(2, 3), f(2)),
      `${name}: needs shapes equal or 1 in each dim, aligned at the end, got [2, 3] and [2]. They differ in dim -1 (3 and 2); use reshape, unsqueeze or expand.`,
    ],
  ),
  ["where of shapes", t.ShapeError, () => t.where(t.gt(f(2), 0), f(3), 0), /^where: needs shapes equal or 1/],
  [
    "where of a float condition",
    t.DTypeError,
    () => t.where(f(2), 1, 2),
    "where: needs a bool tensor for condition, got float32. Compare it first, e.g. x.ne(0).",
  ],
  [
    "sub of truth values",
    t.DTypeError,
    () => t.sub(t.tensor([true]), t.tensor([true])),
    "sub: has no arithmetic in bool. Use ne() or convert with to().",
  ],
  ...["neg", "abs", "square", "relu", "clamp"].map(
    (name): Row => [
      `${name} of truth values`,
      t.DTypeError,
      () => (ops as any)[name](t.tensor([true])),
      new RegExp(`^${name}: has no arithmetic in bool\\. Convert first`),
    ],
  ),
  [
    "add of a number that the dtype cannot hold",
    t.DTypeError,
    () => t.add(t.tensor([1], { dtype: "uint8" }), 300),
    /^add: needs values from 0 to 255 for uint8, got 300 at 0\./,
  ],
  ["add of no tensor", t.TenonError, () => t.add(undefined as any, f(2)), "add: needs a tensor for a, got undefined."],
  [
    "add of a string",
    t.TenonError,
    () => t.add("2" as any, f(2)),
    "add: needs a tensor for a, got a string. Make one with tensor(data).",
  ],
  [
    "add of three",
    t.RegistryError,
    () => (f(2) as any).add(f(2), { alpha: 2 }),
    "add: needs inputs (a, b), got 3. A method's first input is its tensor; options: none.",
  ],
  ...["add", "sub", "mul", "div", "pow", "eq", "where", "embedding"].map(
    (name): Row => [
      `${name} with options that it has not`,
      t.RegistryError,
      () => (ops as any)[name](...inputsOf(name), { roundingMode: "floor" }),
      new RegExp(`^${name}: needs inputs \\(.*\\), got \\d\\. .* options: none\\.`),
    ],
  ),
  [
    "relu in place",
    t.RegistryError,
    () => (f(2) as any).relu({ inplace: true }),
    "relu: needs inputs (x), got 2. A method's first input is its tensor; options: none.",
  ],
  [
    "gelu of an unknown kind",
    t.ConfigError,
    () => t.gelu(f(2), { approximate: "fast" as any }),
    'gelu: needs one of "none" or "tanh" for approximate, got "fast".',
  ],
  [
    "gelu with a misspelt option",
    t.ConfigError,
    () => t.gelu(f(2), { aproximate: "tanh" } as any),
    'gelu: has no option "aproximate". Did you mean "approximate"?',
  ],
  [
    "leakyRelu with a number for options",
    t.ConfigError,
    () => t.leakyRelu(f(2), 0.1 as any),
    /^leakyRelu: needs its options as an object, got 0\.1\./,
  ],
  [
    "clamp with a text",
    t.ConfigError,
    () => t.clamp(f(2), { min: "0" as any }),
    'clamp: needs a number for min, got "0".',
  ],
  // reductions
  ...[...reductions, "argmax", "argmin", "cumsum", "softmax", "logSoftmax", "sort"].map(
    (name): Row => [
      `${name} over a dim that is not there`,
      t.ShapeError,
      () => (ops as any)[name](f(2, 3), { dim: 2 }),
      `${name}: needs dim from -2 to 1 for a 2-d tensor, got 2. Negative dims count from the end.`,
    ],
  ),
  ...reductions.map(
    (name): Row => [
      `${name} over a dim twice`,
      t.ShapeError,
      () => (ops as any)[name](f(2, 3), { dim: [0, -2] }),
      `${name}: needs each dim once, got [0, 0].`,
    ],
  ),
  ...["sum", "mean", "softmax", "sort", "argmax"].map(
    (name): Row => [
      `${name} with a dim for options`,
      t.ConfigError,
      () => (ops as any)[name](f(2, 3), 1),
      `${name}: needs its options as an object, got 1. For example { dim: 1 }.`,
    ],
  ),
  [
    "amax of nothing",
    t.ShapeError,
    () => t.amax(f(2, 0), { dim: 1 }),
    "amax: needs at least one element to reduce, got shape [2, 0].",
  ],
  ["amin of nothing", t.ShapeError, () => t.amin(f(0)), "amin: needs at least one element to reduce, got shape [0]."],
  [
    "argmax of nothing",
    t.ShapeError,
    () => t.argmax(f(2, 0), { dim: 1 }),
    "argmax: needs at least one element in dim 1, got shape [2, 0].",
  ],
  [
    "argmin of nothing",
    t.ShapeError,
    () => t.argmin(f(0)),
    "argmin: needs at least one element in dim 0, got shape [0].",
  ],
  ["topk of too many", t.ShapeError, () => t.topk(f(3), 4), "topk: needs k from 0 to 3, got 4 for [3]."],
  // products
  [
    "matmul",
    t.ShapeError,
    () => t.matmul(f(2, 3), f(5, 3)),
    "matmul: needs a [m, k] and b [k, n], got [2, 3] and [5, 3]. The inner sizes differ (3 and 5).",
  ],
  [
    "matmul of vectors",
    t.ShapeError,
    () => t.matmul(f(3), f(4)),
    "matmul: needs a [m, k] and b [k, n], got [3] and [4]. The inner sizes differ (3 and 4).",
  ],
  [
    "matmul of a matrix and a vector",
    t.ShapeError,
    () => t.matmul(f(2, 3), f(2)),
    "matmul: needs a [m, k] and b [k, n], got [2, 3] and [2]. The inner sizes differ (3 and 2).",
  ],
  [
    "matmul of stacks",
    t.ShapeError,
    () => t.matmul(f(2, 2, 3), f(4, 3, 2)),
    /^matmul: needs shapes equal or 1 in each dim/,
  ],
  [
    "matmul of scalars",
    t.ShapeError,
    () => t.matmul(f(), f(2)),
    "matmul: needs at least 1 dim each, got [] and [2]. Use mul() for scalars.",
  ],
  [
    "matmul of integers",
    t.DTypeError,
    () => t.matmul(i([[1]]), i([[1]])),
    'matmul: needs a float tensor for a, got int32. Convert it: x.to({ dtype: "float32" }).',
  ],
  ["outer", t.ShapeError, () => t.outer(f(2, 1), f(2)), "outer: needs two vectors, got [2, 1] and [2]."],
  [
    "linear",
    t.ShapeError,
    () => t.linear(f(2, 3), f(4, 5), f(4)),
    "linear: needs x [..., in], weight [out, in] and bias [out], got [2, 3], [4, 5] and [4].",
  ],
  // shapes
  [
    "reshape",
    t.ShapeError,
    () => t.reshape(f(2, 3), [4, -1]),
    "reshape: needs a shape of 6 elements, got [2, 3] and [4, -1]. One size may be -1 and is then inferred.",
  ],
  ["reshape with two holes", t.ShapeError, () => t.reshape(f(2, 3), [-1, -1]), /^reshape: needs a shape of 6 elements/],
  ["squeeze", t.ShapeError, () => t.squeeze(f(2, 1), 2), /^squeeze: needs dim from -2 to 1/],
  ["unsqueeze", t.ShapeError, () => t.unsqueeze(f(2), 3), /^unsqueeze: needs dim from -2 to 1/],
  ["flatten", t.ShapeError, () => t.flatten(f(2, 3), 1, 0), "flatten: needs startDim up to endDim, got 1 and 0."],
  [
    "permute",
    t.ShapeError,
    () => t.permute(f(2, 3), [0, 0]),
    "permute: needs each of 2 dims once, got [2, 3] and [0, 0].",
  ],
  ["transpose", t.ShapeError, () => t.transpose(f(2, 3), 0, 2), /^transpose: needs dim from -2 to 1/],
  [
    "expand",
    t.ShapeError,
    () => t.expand(f(2, 3), [4, 3]),
    "expand: needs a target that equals the shape but where it is 1, got [2, 3] and [4, 3].",
  ],
  [
    "repeat",
    t.ShapeError,
    () => t.repeat(f(2, 3), [2]),
    "repeat: needs at least one whole number per dim, got [2, 3] and [2].",
  ],
  ["slice", t.ShapeError, () => t.slice(f(2), null, null), "slice: needs at most 1 ranges for [2], got 2."],
  [
    "slice at a fraction",
    t.ShapeError,
    () => t.slice(f(4), [0.5, 2]),
    "slice: needs whole numbers and a step other than 0 ([start, end, step]) in dim 0, got [0.5, 2] for [4].",
  ],
  [
    "slice without a step",
    t.ShapeError,
    () => t.slice(f(4), [0, 2, 0]),
    /^slice: needs whole numbers and a step other than 0/,
  ],
  [
    "narrow",
    t.ShapeError,
    () => t.narrow(f(4), 0, 3, 2),
    "narrow: needs 0 <= start and start + length <= 4, got 3 and 2.",
  ],
  ["flip", t.ShapeError, () => t.flip(f(4), [1]), /^flip: needs dim from -1 to 0/],
  ["pad", t.ShapeError, () => t.pad(f(4), [1]), "pad: needs pairs of whole numbers for at most 1 dims, got [1]."],
  ["tril", t.ShapeError, () => t.tril(f(4)), "tril: needs at least 2 dims, got [4]."],
  ["triu", t.ShapeError, () => t.triu(f(2, 2), { diagonal: 0.5 }), "triu: needs a whole number for diagonal, got 0.5."],
  [
    "cat",
    t.ShapeError,
    () => t.cat([f(2, 3), f(3, 3)], { dim: 1 }),
    "cat: needs shapes equal but in dim 1, got [2, 3] and [3, 3].",
  ],
  ["cat of nothing", t.ShapeError, () => t.cat([]), "cat: needs a list of at least one tensor, got an empty list."],
  [
    "cat of scalars",
    t.ShapeError,
    () => t.cat([f(), f()]),
    "cat: needs at least 1 dim, got []. Use stack() for scalars.",
  ],
  ["stack", t.ShapeError, () => t.stack([f(2), f(3)]), "stack: needs tensors of one shape, got [2] and [3]."],
  ["stack of one", t.ShapeError, () => t.stack(f(2) as any), "stack: needs a list of at least one tensor, got object."],
  [
    "split",
    t.ShapeError,
    () => t.split(f(5), [2, 2]),
    "split: needs sizes that sum to 5, got [2, 2] for dim 0 of [5].",
  ],
  [
    "split by zero",
    t.ShapeError,
    () => t.split(f(5), 0),
    "split: needs sizes that are whole numbers from 1 up, got 0.",
  ],
  // positions
  [
    "indexSelect by floats",
    t.DTypeError,
    () => t.indexSelect(f(3), 0, f(1)),
    'indexSelect: needs an int32 tensor for index, got float32. Convert it: x.to({ dtype: "int32" }).',
  ],
  [
    "indexSelect out of range",
    t.IndexError,
    () => t.indexSelect(f(2, 3), 1, i([0, 3])),
    "indexSelect: needs index from 0 to 2, got 3 at position 1.",
  ],
  [
    "indexSelect below",
    t.IndexError,
    () => t.indexSelect(f(3), 0, i([-1])),
    "indexSelect: needs index from 0 to 2, got -1 at position 0.",
  ],
  [
    "indexSelect of nothing",
    t.IndexError,
    () => t.indexSelect(f(0), 0, i([0])),
    "indexSelect: needs no index, since the dim is empty, got 0 at position 0.",
  ],
  [
    "embedding out of range",
    t.IndexError,
    () => t.embedding(i([[1, 5]]), f(5, 2)),
    "embedding: needs index from 0 to 4, got 5 at position 1.",
  ],
  [
    "embedding in a vector",
    t.ShapeError,
    () => t.embedding(i([1]), f(5)),
    "embedding: needs a table [rows, features], got [5].",
  ],
  [
    "gather out of range",
    t.IndexError,
    () => t.gather(f(2, 3), 1, i([[3], [0]])),
    "gather: needs index from 0 to 2, got 3 at position 0.",
  ],
  [
    "gather of other dims",
    t.ShapeError,
    () => t.gather(f(2, 3), 1, i([0])),
    "gather: needs an index of as many dims, no larger but in dim 1, got [2, 3] and [1].",
  ],
  [
    "scatterAdd out of range",
    t.IndexError,
    () => t.scatterAdd(f(3), 0, i([3]), f(1)),
    "scatterAdd: needs index from 0 to 2, got 3 at position 0.",
  ],
  [
    "scatterAdd into a part, out of range",
    t.IndexError,
    () => t.scatterAdd(f(2, 3), 1, i([[4]]), f(1, 1)),
    "scatterAdd: needs index from 0 to 2, got 4 at position 0.",
  ],
  [
    "scatterAdd of a small source",
    t.ShapeError,
    () => t.scatterAdd(f(3), 0, i([0, 1]), f(1)),
    /^scatterAdd: needs an index of as many dims/,
  ],
  [
    "scatterAdd into truth values",
    t.DTypeError,
    () => t.scatterAdd(t.tensor([true]), 0, i([0]), t.tensor([true])),
    /^scatterAdd: needs int32 or float32 for x, got bool\./,
  ],
  [
    "oneHot out of range",
    t.IndexError,
    () => t.oneHot(i([0, 2]), 2),
    "oneHot: needs index from 0 to 1, got 2 at position 1.",
  ],
  [
    "oneHot of no class",
    t.ShapeError,
    () => t.oneHot(i([0]), 0),
    "oneHot: needs a whole number of classes from 1 up, got 0.",
  ],
  [
    "select out of range",
    t.IndexError,
    () => t.select(f(2, 3), 1, 3),
    "select: needs a position from -3 to 2 in dim 1, got 3 for [2, 3].",
  ],
  [
    "slice out of range",
    t.IndexError,
    () => t.slice(f(2), 2),
    "slice: needs a position from -2 to 1 in dim 0, got 2 for [2].",
  ],
  [
    "crossEntropy out of range",
    t.IndexError,
    () => t.crossEntropy(f(2, 3), i([0, 3])),
    "crossEntropy: needs index from 0 to 2, got 3 at position 1.",
  ],
  [
    "nllLoss out of range",
    t.IndexError,
    () => t.nllLoss(f(2, 3), i([0, 3])),
    "nllLoss: needs index from 0 to 2, got 3 at position 1.",
  ],
  // norms and losses
  [
    "layerNorm",
    t.ShapeError,
    () => t.layerNorm(f(2, 3), f(4)),
    "layerNorm: needs x of at least 1 dim, and weight and bias of the shape of its last dims, got [2, 3] and [4].",
  ],
  [
    "layerNorm with another bias",
    t.ShapeError,
    () => t.layerNorm(f(2, 3), f(3), f(2)),
    /^layerNorm: needs .*, got \[2, 3\], \[3\] and \[2\]\.$/,
  ],
  ["rmsNorm", t.ShapeError, () => t.rmsNorm(f(2, 3), f(4)), /^rmsNorm: needs x of at least 1 dim/],
  [
    "groupNorm",
    t.ShapeError,
    () => t.groupNorm(f(2, 3), 2),
    "groupNorm: needs x [N, C, ...] with C divisible by 2, got [2, 3].",
  ],
  [
    "groupNorm with another weight",
    t.ShapeError,
    () => t.groupNorm(f(2, 4), 2, f(2)),
    "groupNorm: needs weight and bias [4], got [2].",
  ],
  [
    "dropout",
    t.ConfigError,
    () => t.dropout(f(2), { p: 1 }),
    "dropout: needs a probability from 0 up to but without 1, got 1.",
  ],
  [
    "crossEntropy",
    t.ShapeError,
    () => t.crossEntropy(f(2, 3), i([0])),
    "crossEntropy: needs logits [N, C] and labels [N], got [2, 3] and [1]. Flatten leading dims with reshape([-1, C]).",
  ],
  [
    "crossEntropy of float labels",
    t.DTypeError,
    () => t.crossEntropy(f(2, 3), f(2)),
    /^crossEntropy: needs an int32 tensor for labels, got float32\./,
  ],
  [
    "nllLoss",
    t.ShapeError,
    () => t.nllLoss(f(3), i([0])),
    "nllLoss: needs log-probabilities [N, C] and labels [N], got [3] and [1].",
  ],
  ...["mseLoss", "l1Loss", "huberLoss", "binaryCrossEntropyWithLogits", "klDiv"].flatMap((name): Row[] => [
    [
      `${name} of shapes`,
      t.ShapeError,
      () => (ops as any)[name](f(2), f(2, 1)),
      `${name}: needs input and target of one shape, got [2] and [2, 1].`,
    ],
    [
      `${name} with another reduction`,
      t.ConfigError,
      () => (ops as any)[name](f(2), f(2), { reduction: "avg" }),
      new RegExp(`^${name}: needs "mean", "sum".* or "\\w+" for reduction, got "avg"\\.`),
    ],
  ]),
  // attention, convolution, cells
  [
    "scaledDotProductAttention",
    t.ShapeError,
    () => t.scaledDotProductAttention(f(1, 4, 3, 2), f(1, 2, 3, 2), f(1, 2, 3, 2)),
    "scaledDotProductAttention: needs q [B, H, T, D] and k, v [B, H, S, D], got [1, 4, 3, 2], [1, 2, 3, 2] and [1, 2, 3, 2]. Pass enableGqa: true for fewer key heads than query heads.",
  ],
  [
    "scaledDotProductAttention of values with another width",
    t.ShapeError,
    () => t.scaledDotProductAttention(f(1, 2, 3, 4), f(1, 2, 3, 4), f(1, 2, 3, 1)),
    "scaledDotProductAttention: needs q [B, H, T, D] and k, v [B, H, S, D], got [1, 2, 3, 4], [1, 2, 3, 4] and [1, 2, 3, 1].",
  ],
  [
    "scaledDotProductAttention with a mask",
    t.ShapeError,
    () => t.scaledDotProductAttention(f(1, 1, 2, 2), f(1, 1, 3, 2), f(1, 1, 3, 2), { attnMask: f(2, 2) }),
    /^scaledDotProductAttention: needs shapes equal or 1/,
  ],
  [
    "causalAttention",
    t.ShapeError,
    () => t.causalAttention(f(1, 2, 6), f(1, 2, 6), f(1, 2, 6), { heads: 4 }),
    /^causalAttention: needs q \[B, T, H \* D\]/,
  ],
  [
    "causalAttention over fewer keys than queries",
    t.ShapeError,
    () => t.causalAttention(f(1, 3, 4), f(1, 3, 4), f(1, 3, 4), { heads: 2, keys: 2 }),
    /T <= 2 keys <= S/,
  ],
  [
    "packedAttention",
    t.ShapeError,
    () => t.packedAttention(f(1, 2, 8), { heads: 2 }),
    "packedAttention: needs qkv [B, T, 3 * H * D] for H = 2, got [1, 2, 8].",
  ],
  [
    "packedAttention without heads",
    t.ConfigError,
    () => t.packedAttention(f(1, 2, 6), {} as any),
    "packedAttention: needs a whole number from 1 up for heads, got undefined.",
  ],
  ...[-2, 0, 0.5].flatMap((n): Row[] => [
    [
      `packedAttention of ${n} heads`,
      t.ConfigError,
      () => t.packedAttention(f(1, 2, 6), { heads: n }),
      `packedAttention: needs a whole number from 1 up for heads, got ${n}.`,
    ],
    [
      `causalAttention of ${n} heads`,
      t.ConfigError,
      () => t.causalAttention(f(1, 2, 4), f(1, 2, 4), f(1, 2, 4), { heads: n }),
      `causalAttention: needs a whole number from 1 up for heads, got ${n}.`,
    ],
    [
      `causalAttention of ${n} key heads`,
      t.ConfigError,
      () => t.causalAttention(f(1, 2, 4), f(1, 2, 4), f(1, 2, 4), { heads: 2, kvHeads: n }),
      `causalAttention: needs a whole number from 1 up for kvHeads, got ${n}.`,
    ],
    [
      `groupNorm of ${n} groups`,
      t.ConfigError,
      () => t.groupNorm(f(2, 4), n),
      `groupNorm: needs a whole number from 1 up for numGroups, got ${n}.`,
    ],
    [
      `conv2d of ${n} groups`,
      t.ConfigError,
      () => t.conv2d(f(1, 2, 5, 5), f(2, 4, 2, 2), undefined, { groups: n }),
      `conv2d: needs a whole number from 1 up for groups, got ${n}.`,
    ],
    [
      `conv1d of ${n} groups`,
      t.ConfigError,
      () => t.conv1d(f(1, 2, 5), f(2, 4, 2), undefined, { groups: n }),
      `conv1d: needs a whole number from 1 up for groups, got ${n}.`,
    ],
    [
      `maxPool2d over ${n}`,
      t.ShapeError,
      () => t.maxPool2d(f(1, 1, 4, 4), [2, n]),
      `maxPool2d: needs whole numbers from 1 up for kernelSize, one or two, got [2, ${n}].`,
    ],
  ]),
  [
    "packedAttention of an array",
    t.TenonError,
    () => t.packedAttention([[1]] as any, { heads: 1 }),
    /^packedAttention: needs a tensor for qkv, got an array\./,
  ],
  [
    "avgPool2d over nothing",
    t.ShapeError,
    () => t.avgPool2d(f(1, 1, 4, 4), undefined as any),
    /^avgPool2d: needs whole numbers from 1 up for kernelSize/,
  ],
  ...["crossEntropy", "nllLoss"].map(
    (name): Row => [
      `${name} that ignores a fraction`,
      t.ConfigError,
      () => (ops as any)[name](f(2, 3), i([0, 1]), { ignoreIndex: 0.5 }),
      `${name}: needs a whole number for ignoreIndex, got 0.5.`,
    ],
  ),
  ...[2, -0.1, Number.NaN, "0.1"].flatMap((value) =>
    ["crossEntropy", "linearCrossEntropy"].map(
      (name): Row => [
        `${name} smoothed by ${value}`,
        t.ConfigError,
        () => runSample(name, inputsOf(name), { labelSmoothing: value }),
        `${name}: needs a number from 0 to 1 for labelSmoothing, got ${JSON.stringify(value) ?? value}.`.replace(
          "null",
          "NaN",
        ),
      ],
    ),
  ),
  ...[-1, 0, Number.NaN, Number.POSITIVE_INFINITY, "1"].map(
    (delta): Row => [
      `huberLoss with a delta of ${delta}`,
      t.ConfigError,
      () => t.huberLoss(f(2), f(2), { delta: delta as number }),
      /^huberLoss: needs a finite number above 0 for delta, got /,
    ],
  ),
  [
    "conv1d",
    t.ShapeError,
    () => t.conv1d(f(1, 2, 5), f(3, 1, 2)),
    "conv1d: needs x [N, C, L], weight [O, C / 1, k], got [1, 2, 5] and [3, 1, 2].",
  ],
  [
    "conv1d with a stride of 0",
    t.ConfigError,
    () => t.conv1d(f(1, 2, 5), f(3, 2, 3), undefined, { stride: 0 }),
    "conv1d: needs a whole number from 1 up for stride, got 0.",
  ],
  [
    "conv1d with a large window",
    t.ShapeError,
    () => t.conv1d(f(1, 2, 5), f(3, 2, 4), undefined, { dilation: 2 }),
    "conv1d: needs a window no larger than the padded input, got 7 and 5.",
  ],
  [
    "conv1d of an image",
    t.ShapeError,
    () => t.conv1d(f(1, 2, 5, 5), f(3, 1, 2)),
    "conv1d: needs x [N, C, L], weight [O, C / 1, k], got [1, 2, 5, 5] and [3, 1, 2].",
  ],
  [
    "conv2d",
    t.ShapeError,
    () => t.conv2d(f(1, 2, 5, 5), f(3, 1, 2, 2)),
    "conv2d: needs x [N, C, H, W], weight [O, C / 1, kh, kw], got [1, 2, 5, 5] and [3, 1, 2, 2].",
  ],
  [
    "conv2d with another bias",
    t.ShapeError,
    () => t.conv2d(f(1, 1, 5, 5), f(3, 1, 2, 2), f(2)),
    /^conv2d: needs .* and bias \[O\], got/,
  ],
  [
    "conv2d of a small image",
    t.ShapeError,
    () => t.conv2d(f(1, 1, 2, 2), f(1, 1, 3, 3)),
    "conv2d: needs a window no larger than the padded input, got [3, 3] and [2, 2].",
  ],
  [
    "conv2d without a stride",
    t.ShapeError,
    () => t.conv2d(f(1, 1, 5, 5), f(1, 1, 3, 3), undefined, { stride: 0 }),
    "conv2d: needs whole numbers from 1 up for stride, one or two, got 0.",
  ],
  ["maxPool2d", t.ShapeError, () => t.maxPool2d(f(4, 4), 2), "maxPool2d: needs x [N, C, H, W], got [4, 4]."],
  [
    "avgPool2d",
    t.ShapeError,
    () => t.avgPool2d(f(1, 1, 4, 4), 5),
    "avgPool2d: needs a window no larger than the padded input, got [5, 5] and [4, 4].",
  ],
  [
    "lstmCell",
    t.ShapeError,
    () => t.lstmCell(f(1, 2), f(1, 3), f(1, 3), { weightIh: f(12, 2), weightHh: f(9, 3) }),
    "lstmCell: needs x [B, I], h [B, H], weightIh [4 H, I], weightHh [4 H, H] and biases [4 H], got [1, 2], [1, 3], [12, 2] and [9, 3].",
  ],
  [
    "lstmCell with another c",
    t.ShapeError,
    () => t.lstmCell(f(1, 2), f(1, 3), f(1, 2), { weightIh: f(12, 2), weightHh: f(12, 3) }),
    "lstmCell: needs c of the shape of h, got [1, 2] and [1, 3].",
  ],
  [
    "gruCell",
    t.ShapeError,
    () => t.gruCell(f(1, 2), f(1, 3), { weightIh: f(12, 2), weightHh: f(12, 3) }),
    /^gruCell: needs x \[B, I\]/,
  ],
  [
    "cachedAttention",
    t.ShapeError,
    () => cachedAttention(f(1, 2, 6), f(1, 2, 4), { heads: 1, before: { length: 1 } }),
    "cachedAttention: needs qkv [B, T, 3 * H * D] for H = 1 and a cache [B, S, 2 * H * D] with room for T rows at position 1, got [1, 2, 6] and [1, 2, 4].",
  ],
  [
    "argmaxInto",
    t.ShapeError,
    () => argmaxInto(f(2, 3), t.zeros([3], { dtype: "int32" })),
    "argmaxInto: needs float32 x [..., N] and int32 out of one number for each N, got [2, 3] and [3].",
  ],
];

test.each(wrong)("%s", (_, kind, run, message) => {
  const error = refusal(run);
  expect(error).toBeInstanceOf(kind);
  if (typeof message === "string") expect(error.message).toBe(message);
  else expect(error.message).toMatch(message);
});

test("an index error carries operation, size, index and position, and everything goes on", async () => {
  const error = refusal(() => t.embedding(i([1, 9]), f(5, 2)));
  expect(error.details).toMatchObject({ size: 5, got: 9, position: 1 });
  expect(error.where).toBe("embedding");
  const [table, good] = [t.ones([5, 2]), i([4])];
  expect(await t.embedding(good, table).toArray()).toEqual([[1, 1]]);
});

test("positions may be bytes", async () => {
  const bytes = t.tensor(new Uint8Array([2, 0]));
  expect(await t.embedding(bytes, t.tensor([[1], [2], [3]])).toArray()).toEqual([[3], [1]]);
  expect(await t.gather(t.tensor([5, 6, 7]), 0, bytes).toArray()).toEqual([7, 5]);
  const [logits, rows] = [
    t.tensor([
      [1, 2, 3],
      [3, 2, 2],
    ]),
    t.tensor([
      [1, 0],
      [2, 1],
    ]),
  ];
  const losses = (labels: t.Tensor) => [
    t.crossEntropy(logits, labels),
    t.nllLoss(logits, labels),
    t.linearCrossEntropy(rows, logits.transpose(), labels),
  ];
  const [given, wanted] = [bytes, i([2, 0])].map((labels) => Promise.all(losses(labels).map((loss) => loss.item())));
  expect(await given).toEqual(await wanted);
});

test("the door checks the number of inputs and the options of every op in the registry", () => {
  for (const { name } of t.listOps()) {
    const op = t.getOp(name);
    const inputs = op.inputs.map(() => f(1));
    if (!op.inputs.some(({ variadic }) => variadic)) {
      expect(() => dispatchOne(op, [...inputs, f(1)]), name).toThrow(
        new RegExp(`^${name}: needs inputs \\(.*\\), got ${inputs.length + 1}\\.`),
      );
      expect(() => dispatchOne(op, []), name).toThrow(new RegExp(`^${name}: needs inputs \\(.*\\), got 0\\.`));
    }
    expect(() => dispatchOne(op, inputs, { nonsense: 1 }), name).toThrow(
      new RegExp(`^${name}: has no option "nonsense"\\.`),
    );
  }
});
