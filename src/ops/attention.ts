/**
 * Scaled dot-product attention (Vaswani et al. 2017), computed over tiles of keys with a running softmax (Dao et al.
 * 2022). Tiles start at key 0 whatever the number of queries, so a cached decode gives the bits of a full forward pass.
 */

import type { AttentionLayout } from "../backend/kernels.js";
import { isFloat } from "../core/dtype.js";
import { DTypeError, misfit, ShapeError, showShape } from "../core/errors.js";
import { checkCounts, checkOptions } from "../core/options.js";
import type { Shape } from "../core/shape.js";
import { dispatch, dispatchOne } from "../tensor/dispatch.js";
import { type BackwardContext, registerOp, type TensorSpec } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { type AttentionAttrs, layoutOf, within } from "./attention-layout.js";
import { checkTensors, named } from "./define.js";
import { add, logicalAnd, logicalNot, logicalOr, mul, ne, where } from "./elementwise.js";
import { lowerMask } from "./mask.js";
import { matmul } from "./matmul.js";
import { expand, reshape, transpose, unsqueeze } from "./movement.js";
import { any } from "./reduce.js";
import { narrow, pad } from "./region.js";
import { softmax } from "./softmax.js";

const attrs = {
  layout: { type: "string", values: ["heads", "rows"] },
  heads: { type: "integer" },
  kvHeads: { type: "integer" },
  keys: { type: "integer" },
  causal: { type: "boolean" },
  scale: { type: "number" },
} as const;
const float = (name: string) => ({ name, kind: "float" }) as const;

const backwardOp = registerOp<AttentionAttrs>({
  name: "attentionBackward",
  doc: "gradients of attention",
  inputs: ["q", "k", "v", "output", "lse", "grad"],
  attrs,
  infer: ([q, k, v]) => [q, k, v],
  run: (kernels, [q, k, v, output, lse, grad], [dQ, dK, dV], a) =>
    kernels.attentionBackward(q, k, v, output, lse, grad, dQ, dK, dV, layoutOf(q.shape, k.shape, a)),
});

const attentionOp = registerOp<AttentionAttrs>({
  name: "attention",
  doc: "softmax(q k^T * scale) v for each head",
  inputs: [float("q"), float("k"), float("v")],
  attrs,
  infer: ([q, k], { heads, kvHeads, layout }): TensorSpec[] => {
    const [batch, rows] = q.shape;
    const [shape, queries] =
      layout === "heads" ? [q.shape, q.shape[2]] : [[batch, rows, (k.shape[2] / kvHeads) * heads], rows];
    return [
      { shape, dtype: "float32" },
      { shape: [batch, heads, queries], dtype: "float32" },
    ];
  },
  run: (kernels, [q, k, v], [out, lse], a) => kernels.attention(q, k, v, out, lse, layoutOf(q.shape, k.shape, a)),
  saves: { inputs: [0, 1, 2], outputs: [0, 1] },
  backward: ({ grad, inputs: [q, k, v], outputs: [out, lse], attrs: a }) => [
    ...dispatch(backwardOp, [q, k, v, out, lse, grad], a),
  ],
});

/** Options of `scaledDotProductAttention`. */
export interface AttentionOptions {
  /** Query t attends keys 0 … t + (keys - queries). */
  isCausal?: boolean;
  /** 1 / sqrt(D) unless given. */
  scale?: number;
  /** Fewer key heads than query heads: each serves a group. */
  enableGqa?: boolean;
  /** bool [..., T, S]: true = attend; or float: added to the scores. */
  attnMask?: Tensor;
}

/** Attention of q [B, H, T, D] over k, v [B, Hkv, S, D]: [B, H, T, D]. */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  checkOptions("scaledDotProductAttention", options, ["isCausal", "scale", "enableGqa", "attnMask"]);
  checkTensors("scaledDotProductAttention", { q, k, v });
  const { isCausal = false, scale = 1 / Math.sqrt(q.shape[q.ndim - 1]), enableGqa = false, attnMask } = options;
  const fits =
    q.ndim === 4 &&
    k.ndim === 4 &&
    v.ndim === 4 &&
    q.shape[0] === k.shape[0] &&
    q.shape[3] === k.shape[3] &&
    k.shape.every((n, i) => n === v.shape[i]) &&
    (enableGqa ? q.shape[1] % k.shape[1] === 0 : q.shape[1] === k.shape[1]);
  if (!fits) {
    throw new ShapeError(
      `scaledDotProductAttention: needs q [B, H, T, D] and k, v [B, ${enableGqa ? "H / groups" : "H"}, S, D], got ${showShape(q.shape)}, ${showShape(k.shape)} and ${showShape(v.shape)}.`,
      {
        where: "scaledDotProductAttention",
        hint:
          enableGqa || !(k.shape[1] < q.shape[1])
            ? undefined
            : "Pass enableGqa: true for fewer key heads than query heads.",
      },
    );
  }
  if (attnMask) {
    checkTensors("scaledDotProductAttention", { attnMask });
    if (attnMask.dtype !== "bool" && !isFloat(attnMask.dtype)) {
      throw new DTypeError(
        `scaledDotProductAttention: needs attnMask as bool (true attends) or as floats that are added, got ${attnMask.dtype}.`,
        { where: "scaledDotProductAttention", got: attnMask.dtype, hint: "A mask of 0 and 1: attnMask.ne(0)." },
      );
    }
    return named("scaledDotProductAttention", () => maskedAttention(q, k, v, attnMask, isCausal, scale));
  }
  const [heads, kvHeads, keys] = [q.shape[1], k.shape[1], k.shape[2]];
  const attend = (queries: Tensor) =>
    dispatchOne(attentionOp, [queries, k, v], { layout: "heads", heads, kvHeads, keys, causal: isCausal, scale });
  // Queries before the first key: there is nothing to weigh, and kernels are spared them.
  const idle = isCausal || keys === 0 ? Math.max(0, q.shape[2] - keys) : 0;
  return named("scaledDotProductAttention", () =>
    idle === 0 ? attend(q) : pad(attend(narrow(q, 2, idle, q.shape[2] - idle)), [0, 0, idle, 0]),
  );
}

/** The composition: scores, mask, softmax, weighted sum. A query without keys gives 0 and no gradients, as in PyTorch. */
function maskedAttention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, causal: boolean, scale: number): Tensor {
  const groups = q.shape[1] / k.shape[1];
  const widen = (x: Tensor) => {
    if (groups === 1) return x;
    const [b, h, s, d] = x.shape;
    return reshape(expand(unsqueeze(x, 2), [b, h, groups, s, d]), [b, h * groups, s, d]);
  };
  let scores = mul(matmul(q, transpose(widen(k))), scale);
  const [rows, keys] = scores.shape.slice(2);
  const own = mask.dtype === "bool";
  let attended = own ? mask : ne(mask, Number.NEGATIVE_INFINITY);
  if (causal) attended = logicalAnd(attended, lowerMask(rows, keys, keys - rows, scores.device));
  // Softmax of nothing but -infinity is NaN: such a query sees all, and its result is dropped. Masks are smaller than scores.
  const idle = logicalNot(any(attended, { dim: -1, keepdim: true }));
  if (!own) scores = add(scores, where(idle, 0, mask));
  if (own || causal) scores = where(logicalOr(attended, idle), scores, Number.NEGATIVE_INFINITY);
  return where(idle, 0, matmul(softmax(scores), widen(v)));
}

/**
 * Attention on what projections give: q [B, T, H * D], k and v [B, S, Hkv * D], of which the first `keys` positions
 * count; query t attends keys 0 … t + (keys - T). Result [B, T, H * D].
 */
export function causalAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: { heads: number; kvHeads?: number; keys?: number; scale?: number },
): Tensor {
  checkOptions("causalAttention", options, ["heads", "kvHeads", "keys", "scale"]);
  checkTensors("causalAttention", { q, k, v });
  const { heads, kvHeads = heads, keys = k.shape[1], scale } = options;
  checkCounts("causalAttention", { heads, kvHeads });
  const dim = k.shape[2] / kvHeads;
  const fits =
    q.ndim === 3 &&
    k.ndim === 3 &&
    k.shape[0] === q.shape[0] &&
    Number.isInteger(dim) &&
    heads % kvHeads === 0 &&
    q.shape[2] === heads * dim &&
    v.shape.every((n, i) => n === k.shape[i]) &&
    Number.isInteger(keys) &&
    keys >= q.shape[1] &&
    keys <= k.shape[1];
  if (!fits) {
    throw misfit(
      "causalAttention",
      `needs q [B, T, H * D] and k, v [B, S, Hkv * D] for H = ${heads}, Hkv = ${kvHeads} and T <= ${keys} keys <= S, got ${showShape(q.shape)}, ${showShape(k.shape)} and ${showShape(v.shape)}.`,
    );
  }
  const attrs = { layout: "rows", heads, kvHeads, keys, causal: true, scale: scale ?? 1 / Math.sqrt(dim) };
  return named("causalAttention", () => dispatchOne(attentionOp, [q, k, v], attrs));
}

interface PackedAttrs {
  [name: string]: number;
  heads: number;
  scale: number;
}

/** Layout of q, k and v side by side in [B, T, 3 * H * D]. */
function packedLayout(qkv: Shape, { heads, scale }: PackedAttrs): AttentionLayout {
  const [batch, length, width] = qkv;
  const channels = width / 3;
  const dim = channels / heads;
  const part = (i: number) => within(qkv, dim, i * channels);
  return {
    ...{ batch, heads, kvHeads: heads, queries: length, keys: length, dim, scale, causal: true },
    ...{ q: part(0), k: part(1), v: part(2), out: within([batch, length, channels], dim) },
  };
}

const packedAttrs = { heads: { type: "integer" }, scale: { type: "number" } } as const;

const packedBackwardOp = registerOp<PackedAttrs>({
  name: "packedAttentionBackward",
  doc: "gradient of packedAttention",
  inputs: ["qkv", "output", "lse", "grad"],
  attrs: packedAttrs,
  infer: ([qkv]) => [qkv],
  run: (kernels, [qkv, output, lse, grad], [dQkv], a) =>
    kernels.attentionBackward(qkv, qkv, qkv, output, lse, grad, dQkv, dQkv, dQkv, packedLayout(qkv.shape, a)),
});

const packedOp = registerOp<PackedAttrs>({
  name: "packedAttention",
  doc: "causal attention on q, k and v side by side",
  inputs: [float("qkv")],
  attrs: packedAttrs,
  infer: ([{ shape }], { heads }): TensorSpec[] => {
    if (shape.length !== 3 || !(shape[2] % (3 * heads) === 0)) {
      throw misfit("packedAttention", `needs qkv [B, T, 3 * H * D] for H = ${heads}, got ${showShape(shape)}.`);
    }
    return [
      { shape: [shape[0], shape[1], shape[2] / 3], dtype: "float32" },
      { shape: [shape[0], heads, shape[1]], dtype: "float32" },
    ];
  },
  run: (kernels, [qkv], [out, lse], a) => kernels.attention(qkv, qkv, qkv, out, lse, packedLayout(qkv.shape, a)),
  saves: { inputs: [0], outputs: [0, 1] },
  backward: ({ grad, inputs: [qkv], outputs: [out, lse], attrs: a }: BackwardContext<PackedAttrs>) => [
    dispatchOne(packedBackwardOp, [qkv, out, lse, grad], a),
  ],
});

/** Causal self-attention on one projection qkv [B, T, 3 * H * D]: [B, T, H * D]. Nothing is copied or transposed. */
export function packedAttention(qkv: Tensor, options: { heads: number; scale?: number }): Tensor {
  checkOptions("packedAttention", options, ["heads", "scale"]);
  checkTensors("packedAttention", { qkv });
  checkCounts("packedAttention", { heads: options.heads });
  const { heads, scale = 1 / Math.sqrt(qkv.shape[qkv.ndim - 1] / 3 / heads) } = options;
  return dispatchOne(packedOp, [qkv], { heads, scale });
}
