/** PyTorch's cases: how each operation of the fixture is called here, for every device. */

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

const library = t as unknown as Record<string, (...args: unknown[]) => Tensor | Tensor[]>;
const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** Called by its name in camelCase, with its attributes as options. */
const plain =
  (op: string): Call =>
  (x, a) => {
    const options = Object.entries(a).map(([name, value]) => [camel(name), value]);
    return library[camel(op)](...x, ...(options.length > 0 ? [Object.fromEntries(options)] : []));
  };

/** Those that are called in another way. */
const others: Record<string, Call> = {
  linear: ([x, w, b]) => t.linear(x, w, b),
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
  flip: ([x], a) => t.flip(x, a.dims),
  repeat: ([x], a) => t.repeat(x, a.repeats),
  index_select: ([x, i], a) => t.indexSelect(x, a.dim, i),
  gather: ([x, i], a) => t.gather(x, a.dim, i),
  scatter_add: ([x, i, s], a) => t.scatterAdd(x, a.dim, i, s),
  one_hot: ([x], a) => t.oneHot(x, a.num_classes),
  topk: ([x], a) => Object.values(t.topk(x, a.k, { dim: a.dim })),
  sort: ([x], a) => Object.values(t.sort(x, { dim: a.dim, descending: a.descending })),
  layer_norm: ([x, w, b], a) => t.layerNorm(x, w, b, { eps: a.eps }),
  group_norm: ([x, w, b], a) => t.groupNorm(x, a.num_groups, w, b, { eps: a.eps }),
  scaled_dot_product_attention: ([q, k, v, m], a) =>
    t.scaledDotProductAttention(q, k, v, { isCausal: a.is_causal, enableGqa: a.enable_gqa, attnMask: m }),
  kl_div: ([a, b]) => t.klDiv(t.logSoftmax(a), t.softmax(b), { reduction: "batchmean" }),
  nll_loss: ([x, y]) => t.nllLoss(t.logSoftmax(x), y),
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
    const result = (others[c.op] ?? plain(c.op))(inputs, c.attrs);
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
