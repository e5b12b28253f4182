/**
 * One sample call of every public operation: what the suites on errors, rows, empty tensors and golden bits run. "B" in
 * a shape is the batch; an operation with one acts per example, and its results have the batch in front.
 */
import type { Tensor } from "tenon";
import * as t from "tenon";
import { randomInteger, randomNormal } from "../../src/core/random.js";

export interface Input {
  shape: readonly (number | "B")[];
  dtype: t.DType;
  /** Integers lie below this. */
  below: number;
  /** Floats are made positive. */
  positive: boolean;
}

export interface Sample {
  inputs: readonly Input[];
  call(inputs: Tensor[], options?: object): Tensor | readonly Tensor[];
  /** Takes an object of options. */
  options: boolean;
}

const f32 = (...shape: (number | "B")[]): Input => ({ shape, dtype: "float32", below: 0, positive: false });
const positive = (...shape: (number | "B")[]): Input => ({ ...f32(...shape), positive: true });
const ids = (below: number, ...shape: (number | "B")[]): Input => ({ ...f32(...shape), dtype: "int32", below });
const bool = (...shape: (number | "B")[]): Input => ({ ...f32(...shape), dtype: "bool", below: 2 });

type Call = (x: any, options?: any) => any;
const takes = (inputs: Input[], call: Call): Sample => ({ inputs, call, options: true });
const bare = (inputs: Input[], call: Call): Sample => ({ inputs, call: (x) => call(x), options: false });

const unary =
  "neg abs square sign floor ceil round trunc exp sin cos tanh erf sigmoid relu silu softplus logicalNot isnan isfinite";
const ofPositive = "reciprocal sqrt rsqrt log log1p";
const binary = "add sub mul div maximum minimum eq ne lt le gt ge logicalAnd logicalOr";
/** Over one dim, several or all. */
export const reductions = "prod amax amin var std logsumexp sum mean any all".split(" ");
const library = t as unknown as Record<string, (...args: any[]) => Tensor>;
const each = (names: string | readonly string[], make: (name: string) => Sample): Record<string, Sample> =>
  Object.fromEntries((typeof names === "string" ? names.split(" ") : names).map((name) => [name, make(name)]));

const cell = (gates: number) => [
  f32("B", 4),
  f32("B", 3),
  ...(gates === 4 ? [f32("B", 3)] : []),
  f32(gates * 3, 4),
  f32(gates * 3, 3),
  f32(gates * 3),
  f32(gates * 3),
];

export const samples: Record<string, Sample> = {
  ...each(unary, (name) => bare([f32("B", 7)], ([x]) => library[name](x))),
  ...each(ofPositive, (name) => bare([positive("B", 7)], ([x]) => library[name](x))),
  ...each(binary, (name) => bare([f32("B", 7), f32("B", 1)], ([a, b]) => library[name](a, b))),
  pow: bare([positive("B", 7), f32("B", 7)], ([a, b]) => t.pow(a, b)),
  leakyRelu: takes([f32("B", 7)], ([x], o) => t.leakyRelu(x, o)),
  gelu: takes([f32("B", 7)], ([x], o) => t.gelu(x, o)),
  clamp: takes([f32("B", 7)], ([x], o) => t.clamp(x, { min: -0.5, max: 0.5, ...o })),
  maskedFill: bare([f32("B", 7), bool("B", 7)], ([x, mask]) => t.maskedFill(x, mask, -1)),
  where: bare([bool("B", 7), f32("B", 7), f32("B", 7)], ([c, a, b]) => t.where(c, a, b)),
  ...each(reductions, (name) => takes([f32("B", 37)], ([x], o) => library[name](x, { dim: 1, ...o }))),
  argmax: takes([f32("B", 9)], ([x], o) => t.argmax(x, { dim: 1, ...o })),
  argmin: takes([f32("B", 9)], ([x], o) => t.argmin(x, { dim: 1, ...o })),
  cumsum: takes([f32("B", 9)], ([x], o) => t.cumsum(x, { dim: 1, ...o })),
  softmax: takes([f32("B", 33)], ([x], o) => t.softmax(x, o)),
  logSoftmax: takes([f32("B", 33)], ([x], o) => t.logSoftmax(x, o)),
  matmul: bare([f32("B", 5, 9), f32(9, 18)], ([a, b]) => t.matmul(a, b)),
  linear: takes([f32("B", 9), f32(18, 9), f32(18)], ([x, w, b], o) => t.linear(x, w, b, o)),
  einsum: bare([f32("B", 3, 4), f32("B", 4, 2), f32(2)], ([a, b, c]) => t.einsum("bij,bjk,k->bki", a, b, c)),
  chunk: takes([f32("B", 7)], ([x], o) => t.chunk(x, 2, { dim: 1, ...o })),
  outer: bare([f32(4), f32(3)], ([a, b]) => t.outer(a, b)),
  reshape: bare([f32("B", 2, 6)], ([x]) => t.reshape(x, [x.shape[0], 12])),
  clone: bare([f32("B", 7)], ([x]) => t.clone(x)),
  copy_: bare([f32("B", 7), f32("B", 1)], ([x, source]) => t.copy_(t.clone(x.detach()), source.detach())),
  squeeze: bare([f32("B", 1, 6)], ([x]) => t.squeeze(x, 1)),
  unsqueeze: bare([f32("B", 6)], ([x]) => t.unsqueeze(x, 1)),
  flatten: bare([f32("B", 2, 6)], ([x]) => t.flatten(x, 1)),
  permute: bare([f32("B", 2, 6)], ([x]) => t.permute(x, [0, 2, 1])),
  transpose: bare([f32("B", 2, 6)], ([x]) => t.transpose(x, 1, 2)),
  expand: bare([f32("B", 1, 6)], ([x]) => t.expand(x, [-1, 4, -1])),
  repeat: bare([f32("B", 2, 3)], ([x]) => t.repeat(x, [1, 2, 2])),
  slice: bare([f32("B", 9)], ([x]) => t.slice(x, null, [1, 8, 2])),
  narrow: bare([f32("B", 9)], ([x]) => t.narrow(x, 1, 2, 5)),
  select: bare([f32("B", 9)], ([x]) => t.select(x, 1, -1)),
  flip: bare([f32("B", 9)], ([x]) => t.flip(x, [1])),
  pad: takes([f32("B", 9)], ([x], o) => t.pad(x, [1, 2], o)),
  tril: takes([f32("B", 4, 4)], ([x], o) => t.tril(x, o)),
  triu: takes([f32("B", 4, 4)], ([x], o) => t.triu(x, o)),
  cat: takes([f32("B", 3), f32("B", 4)], (x, o) => t.cat(x, { dim: 1, ...o })),
  stack: takes([f32("B", 3), f32("B", 3)], (x, o) => t.stack(x, { dim: 1, ...o })),
  split: takes([f32("B", 7)], ([x], o) => t.split(x, [3, 4], { dim: 1, ...o })),
  unbind: takes([f32("B", 3)], ([x], o) => t.unbind(x, { dim: 1, ...o })),
  indexSelect: bare([f32("B", 7), ids(7, 4)], ([x, i]) => t.indexSelect(x, 1, i)),
  embedding: bare([ids(7, "B", 3), f32(7, 5)], ([i, w]) => t.embedding(i, w)),
  gather: bare([f32("B", 7), ids(7, "B", 4)], ([x, i]) => t.gather(x, 1, i)),
  scatterAdd: bare([f32("B", 7), ids(7, "B", 4), f32("B", 4)], ([x, i, s]) => t.scatterAdd(x, 1, i, s)),
  oneHot: bare([ids(5, "B")], ([i]) => t.oneHot(i, 5)),
  sort: takes([f32("B", 9)], ([x], o) => Object.values(t.sort(x, o))),
  topk: takes([f32("B", 9)], ([x], o) => Object.values(t.topk(x, 3, o))),
  layerNorm: takes([f32("B", 19), f32(19), f32(19)], ([x, w, b], o) => t.layerNorm(x, w, b, o)),
  rmsNorm: takes([f32("B", 19), f32(19)], ([x, w], o) => t.rmsNorm(x, w, o)),
  groupNorm: takes([f32("B", 4, 5), f32(4), f32(4)], ([x, w, b], o) => t.groupNorm(x, 2, w, b, o)),
  dropout: takes([f32("B", 9)], ([x], o) => t.dropout(x, { p: 0.5, generator: new t.Generator(3), ...o })),
  crossEntropy: takes([f32("B", 9), ids(9, "B")], ([x, y], o) => t.crossEntropy(x, y, { reduction: "none", ...o })),
  linearCrossEntropy: takes([f32("B", 9), f32(18, 9), ids(18, "B")], ([x, w, y], o) =>
    t.linearCrossEntropy(x, w, y, { reduction: "none", ...o }),
  ),
  nllLoss: takes([f32("B", 9), ids(9, "B")], ([x, y], o) => t.nllLoss(x, y, { reduction: "none", ...o })),
  ...each("mseLoss l1Loss huberLoss binaryCrossEntropyWithLogits klDiv", (name) =>
    takes([f32("B", 9), positive("B", 9)], ([x, y], o) => library[name](x, y, { reduction: "none", ...o })),
  ),
  scaledDotProductAttention: takes([f32("B", 2, 5, 4), f32("B", 2, 7, 4), f32("B", 2, 7, 4)], ([q, k, v], o) =>
    t.scaledDotProductAttention(q, k, v, o),
  ),
  causalAttention: takes([f32("B", 5, 8), f32("B", 7, 4), f32("B", 7, 4)], ([q, k, v], o) =>
    t.causalAttention(q, k, v, { heads: 2, kvHeads: 1, ...o }),
  ),
  packedAttention: takes([f32("B", 5, 24)], ([x], o) => t.packedAttention(x, { heads: 2, ...o })),
  conv1d: takes([f32("B", 2, 9), f32(3, 2, 3), f32(3)], ([x, w, b], o) => t.conv1d(x, w, b, o)),
  conv2d: takes([f32("B", 2, 5, 5), f32(3, 2, 3, 3), f32(3)], ([x, w, b], o) => t.conv2d(x, w, b, o)),
  maxPool2d: takes([f32("B", 2, 4, 4)], ([x], o) => t.maxPool2d(x, 2, o)),
  avgPool2d: takes([f32("B", 2, 4, 4)], ([x], o) => t.avgPool2d(x, 2, o)),
  lstmCell: bare(cell(4), ([x, h, c, weightIh, weightHh, biasIh, biasHh]) =>
    t.lstmCell(x, h, c, { weightIh, weightHh, biasIh, biasHh }),
  ),
  gruCell: bare(cell(3), ([x, h, weightIh, weightHh, biasIh, biasHh]) =>
    t.gruCell(x, h, { weightIh, weightHh, biasIh, biasHh }),
  ),
};

export interface HostData {
  shape: number[];
  dtype: t.DType;
  data: Float32Array;
}

/** The inputs of a sample for a batch, the same on every run: from Philox streams named after the operation. */
export function hostInputs(name: string, batch: number): HostData[] {
  const generator = new t.Generator(2024);
  return samples[name].inputs.map((input, i) => {
    const shape = input.shape.map((n) => (n === "B" ? batch : n));
    const size = shape.reduce((a, b) => a * b, 1);
    const call = generator.next(`${name}/${i}`);
    const data = input.below
      ? Float32Array.from({ length: size }, (_, k) => randomInteger(call, k, input.below))
      : randomNormal(call, size).map((x) => (input.positive ? Math.abs(x) + 0.125 : x));
    return { shape, dtype: input.dtype, data };
  });
}

export const upload = ({ shape, dtype, data }: HostData, device: t.DeviceName): Tensor =>
  t.fromData(data, shape, { dtype, device });

/** Runs a sample; its results as a list. */
export function runSample(name: string, inputs: Tensor[], options?: object): readonly Tensor[] {
  const result = samples[name].call(inputs, options);
  return Array.isArray(result) ? result : [result as Tensor];
}

/** Does it act on each example of a batch? */
export const perExample = (name: string): boolean => samples[name].inputs.some(({ shape }) => shape.includes("B"));
