/** PyTorch's cases: how each operation of the fixture is called here. One row per operation, for every device. */

import type { Tensor } from "tenon";
import * as t from "tenon";

export interface FixtureCase {
  id: string;
  op: string;
  attrs: Record<string, any>;
  inputs: string[];
  outputs: string[];
  grads: string[];
}

type Call = (x: Tensor[], a: Record<string, any>) => Tensor | Tensor[];

const reduceOptions = (a: Record<string, any>) => ({ dim: a.dim, keepdim: a.keepdim });

export const calls: Record<string, Call> = {
  add: ([a, b]) => t.add(a, b),
  sub: ([a, b]) => t.sub(a, b),
  mul: ([a, b]) => t.mul(a, b),
  div: ([a, b]) => t.div(a, b),
  pow: ([a, b]) => t.pow(a, b),
  maximum: ([a, b]) => t.maximum(a, b),
  minimum: ([a, b]) => t.minimum(a, b),
  neg: ([x]) => t.neg(x),
  exp: ([x]) => t.exp(x),
  abs: ([x]) => t.abs(x),
  sin: ([x]) => t.sin(x),
  cos: ([x]) => t.cos(x),
  tanh: ([x]) => t.tanh(x),
  sigmoid: ([x]) => t.sigmoid(x),
  relu: ([x]) => t.relu(x),
  silu: ([x]) => t.silu(x),
  softplus: ([x]) => t.softplus(x),
  erf: ([x]) => t.erf(x),
  square: ([x]) => t.square(x),
  log: ([x]) => t.log(x),
  sqrt: ([x]) => t.sqrt(x),
  rsqrt: ([x]) => t.rsqrt(x),
  reciprocal: ([x]) => t.reciprocal(x),
  gelu: ([x], a) => t.gelu(x, { approximate: a.approximate }),
  leaky_relu: ([x], a) => t.leakyRelu(x, { negativeSlope: a.negative_slope }),
  clamp: ([x], a) => t.clamp(x, { min: a.min, max: a.max }),
  where: ([c, a, b]) => t.where(c, a, b),
  eq: ([a, b]) => t.eq(a, b),
  ne: ([a, b]) => t.ne(a, b),
  lt: ([a, b]) => t.lt(a, b),
  le: ([a, b]) => t.le(a, b),
  gt: ([a, b]) => t.gt(a, b),
  ge: ([a, b]) => t.ge(a, b),
  sum: ([x], a) => t.sum(x, reduceOptions(a)),
  mean: ([x], a) => t.mean(x, reduceOptions(a)),
  amax: ([x], a) => t.amax(x, reduceOptions(a)),
  amin: ([x], a) => t.amin(x, reduceOptions(a)),
  prod: ([x], a) => t.prod(x, reduceOptions(a)),
  var: ([x], a) => t.var(x, { ...reduceOptions(a), correction: a.correction }),
  logsumexp: ([x], a) => t.logsumexp(x, reduceOptions(a)),
  argmax: ([x], a) => t.argmax(x, { dim: a.dim }),
  argmin: ([x], a) => t.argmin(x, { dim: a.dim }),
  cumsum: ([x], a) => t.cumsum(x, { dim: a.dim }),
  softmax: ([x], a) => t.softmax(x, { dim: a.dim }),
  log_softmax: ([x], a) => t.logSoftmax(x, { dim: a.dim }),
  matmul: ([a, b]) => t.matmul(a, b),
  linear: ([x, w, b]) => t.linear(x, w, b),
  outer: ([a, b]) => t.outer(a, b),
  reshape: ([x], a) => t.reshape(x, a.shape),
  permute: ([x], a) => t.permute(x, a.dims),
  transpose: ([x], a) => t.transpose(x, a.dim0, a.dim1),
  expand: ([x], a) => t.expand(x, a.shape),
  squeeze: ([x], a) => t.squeeze(x, a.dim),
  unsqueeze: ([x], a) => t.unsqueeze(x, a.dim),
  slice: ([x], a) => t.slice(x, ...a.index),
  cat: (x, a) => t.cat(x, { dim: a.dim }),
  stack: (x, a) => t.stack(x, { dim: a.dim }),
  split: ([x], a) => t.split(x, a.sizes, { dim: a.dim }),
  pad: ([x], a) => t.pad(x, a.pad, { value: a.value }),
  tril: ([x], a) => t.tril(x, { diagonal: a.diagonal }),
  triu: ([x], a) => t.triu(x, { diagonal: a.diagonal }),
  flip: ([x], a) => t.flip(x, a.dims),
  repeat: ([x], a) => t.repeat(x, a.repeats),
  embedding: ([ids, w]) => t.embedding(ids, w),
  index_select: ([x, i], a) => t.indexSelect(x, a.dim, i),
  gather: ([x, i], a) => t.gather(x, a.dim, i),
  scatter_add: ([x, i, s], a) => t.scatterAdd(x, a.dim, i, s),
  one_hot: ([x], a) => t.oneHot(x, a.num_classes),
  topk: ([x], a) => Object.values(t.topk(x, a.k, { dim: a.dim })),
  sort: ([x], a) => Object.values(t.sort(x, { dim: a.dim, descending: a.descending })),
  layer_norm: ([x, w, b], a) => t.layerNorm(x, w, b, { eps: a.eps }),
  rms_norm: ([x, w], a) => t.rmsNorm(x, w, { eps: a.eps }),
  group_norm: ([x, w, b], a) => t.groupNorm(x, a.num_groups, w, b, { eps: a.eps }),
  scaled_dot_product_attention: ([q, k, v, m], a) =>
    t.scaledDotProductAttention(q, k, v, { isCausal: a.is_causal, enableGqa: a.enable_gqa, attnMask: m }),
  cross_entropy: ([x, y], a) =>
    t.crossEntropy(x, y, { ignoreIndex: a.ignore_index, labelSmoothing: a.label_smoothing, reduction: a.reduction }),
  mse_loss: ([x, y]) => t.mseLoss(x, y),
  l1_loss: ([x, y]) => t.l1Loss(x, y),
  huber_loss: ([x, y], a) => t.huberLoss(x, y, { delta: a.delta }),
  binary_cross_entropy_with_logits: ([x, y]) => t.binaryCrossEntropyWithLogits(x, y),
  kl_div: ([a, b]) => t.klDiv(t.logSoftmax(a), t.softmax(b), { reduction: "batchmean" }),
  nll_loss: ([x, y]) => t.nllLoss(t.logSoftmax(x), y),
  conv1d: ([x, w, b], a) => t.conv1d(x, w, b, { stride: a.stride, padding: a.padding }),
  conv2d: ([x, w, b], a) =>
    t.conv2d(x, w, b, { stride: a.stride, padding: a.padding, dilation: a.dilation, groups: a.groups }),
  max_pool2d: ([x], a) => t.maxPool2d(x, a.kernel_size),
  avg_pool2d: ([x], a) => t.avgPool2d(x, a.kernel_size, { stride: a.stride }),
  lstm_cell: ([x, h, c, weightIh, weightHh, biasIh, biasHh]) =>
    t.lstmCell(x, h, c, { weightIh, weightHh, biasIh, biasHh }),
  gru_cell: ([x, h, weightIh, weightHh, biasIh, biasHh]) => t.gruCell(x, h, { weightIh, weightHh, biasIh, biasHh }),
};

export interface StoredTensor {
  dtype: string;
  shape: readonly number[];
  data: ArrayLike<number>;
}

const dtypeNames: Record<string, t.DType> = { F32: "float32", I32: "int32", BOOL: "bool", U8: "uint8" };

/** The largest difference, relative to the size of the expected values (1 where they are smaller). */
export function largestError(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < got.length; i++) {
    if (Object.is(got[i], expected[i]) || got[i] === expected[i]) continue;
    const error = Math.abs(got[i] - expected[i]) / Math.max(1, Math.abs(expected[i]));
    if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return worst;
}

export interface CaseResult {
  values: { got: Float32Array | Int32Array | Uint8Array; shape: readonly number[] }[];
  grads: (Float32Array | undefined)[];
}

/** Runs one case on a device: outputs, and gradients of sum(out * cotangent) for each float input. Leaves nothing behind. */
export async function runCase(
  c: FixtureCase,
  stored: Record<string, StoredTensor>,
  device: t.DeviceName,
): Promise<CaseResult> {
  const make = (name: string) =>
    t.fromData(stored[name].data, stored[name].shape, { dtype: dtypeNames[stored[name].dtype], device });
  const inputs = c.inputs.map(make);
  const wantsGrad = inputs.map((_, i) => c.grads.includes(`${c.id}.grad${i}`));
  inputs.forEach((input, i) => {
    input.requiresGrad = wantsGrad[i];
  });
  const outputs = t.tidy(() => {
    const result = calls[c.op](inputs, c.attrs);
    const outputs = Array.isArray(result) ? result : [result];
    const losses = outputs.flatMap((out, i) => {
      const name = `${c.id}.cot${i}`;
      return stored[name] && out.requiresGrad ? [t.sum(t.mul(out, make(name)))] : [];
    });
    if (wantsGrad.some(Boolean)) losses.reduce((a, b) => t.add(a, b)).backward();
    return outputs;
  });
  const values = await Promise.all(
    outputs.map(async (out) => ({ got: (await out.data()) as Float32Array, shape: out.shape })),
  );
  const grads = await Promise.all(
    inputs.map(async (input, i) => (wantsGrad[i] ? ((await input.grad!.data()) as Float32Array) : undefined)),
  );
  for (const tensor of [...outputs, ...inputs.flatMap(({ grad }) => grad ?? []), ...inputs]) tensor.dispose();
  return { values, grads };
}
