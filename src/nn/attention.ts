/** Attention layers over the fused op (see ops/attention.ts). */

import type { DeviceName } from "../backend/backend.js";
import { misfit, showShape } from "../core/errors.js";
import { checkDivisible, checkOptions } from "../core/options.js";
import { checkTensors } from "../ops/define.js";
import { causalAttention, packedAttention, reshape, scaledDotProductAttention, transpose } from "../ops/index.js";
import type { Tensor } from "../tensor/tensor.js";
import { Dropout } from "./dropout.js";
import { deferInit, type InitialCalls, initializeAlone, uniform_, zeros_ } from "./init.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";

/** Options of `MultiheadAttention`. */
export interface MultiheadAttentionOptions {
  /** Heads of keys and values; fewer than `numHeads` make groups share them. `numHeads` unless given. */
  kvHeads?: number;
  bias?: boolean;
  device?: DeviceName;
}

/** Multi-head attention (Vaswani et al. 2017) with a projection each for query, key, value and output. */
export class MultiheadAttention extends Module {
  q_proj: Linear;
  k_proj: Linear;
  v_proj: Linear;
  out_proj: Linear;
  readonly kvHeads: number;
  private readonly headDim: number;

  constructor(
    readonly embedDim: number,
    readonly numHeads: number,
    options: MultiheadAttentionOptions = {},
  ) {
    super();
    checkOptions("MultiheadAttention", options, ["kvHeads", "bias", "device"]);
    const { kvHeads = numHeads, bias = true, device } = options;
    checkDivisible("MultiheadAttention", { embedDim, numHeads });
    checkDivisible("MultiheadAttention", { numHeads, kvHeads });
    this.kvHeads = kvHeads;
    this.headDim = embedDim / numHeads;
    const kvDim = kvHeads * this.headDim;
    const projection = (width: number) => deferInit(() => new Linear(embedDim, width, { bias, device }));
    this.q_proj = projection(embedDim);
    this.k_proj = projection(kvDim);
    this.v_proj = projection(kvDim);
    this.out_proj = projection(embedDim);
    initializeAlone(this);
  }

  /** As PyTorch: query, key and value by Xavier's rule, as the one matrix they are there; biases 0. */
  override resetParameters(calls: InitialCalls): void {
    const inputs = { q_proj: this.q_proj, k_proj: this.k_proj, v_proj: this.v_proj };
    const fanOut = Object.values(inputs).reduce((sum, { outFeatures }) => sum + outFeatures, 0);
    const high = Math.sqrt(6 / (this.embedDim + fanOut));
    for (const [name, { weight }] of Object.entries(inputs))
      uniform_(weight, { low: -high, high, call: calls(`${name}.weight`) });
    this.out_proj.resetParameters((name) => calls(`out_proj.${name}`));
    for (const { bias } of [...Object.values(inputs), this.out_proj]) if (bias) zeros_(bias);
  }

  /**
   * query [B, T, C] attends key and value [B, S, C] (the query itself unless given): [B, T, C]. `attnMask` is bool
   * (true = attend) or added to the scores, and broadcasts to [B, H, T, S].
   */
  forward(
    query: Tensor,
    key: Tensor = query,
    value: Tensor = key,
    options: { isCausal?: boolean; attnMask?: Tensor } = {},
  ): Tensor {
    checkOptions("MultiheadAttention", options, ["isCausal", "attnMask"]);
    const { isCausal = false, attnMask } = options;
    checkTensors("MultiheadAttention", { query, key, value });
    for (const [name, { shape }] of Object.entries({ query, key, value }))
      if (shape.length !== 3) throw misfit("MultiheadAttention", `needs ${name} [B, T, C], got ${showShape(shape)}.`);
    const [q, k, v] = [this.q_proj.forward(query), this.k_proj.forward(key), this.v_proj.forward(value)];
    const { numHeads: heads, kvHeads } = this;
    // It has no queries before the first key.
    if (isCausal && !attnMask && query.shape[1] <= key.shape[1])
      return this.out_proj.forward(causalAttention(q, k, v, { heads, kvHeads })); // (B, T, C)
    const split = (x: Tensor, heads: number) =>
      transpose(reshape(x, [x.shape[0], x.shape[1], heads, this.headDim]), 1, 2); // (B, H, T, D)
    const out = scaledDotProductAttention(split(q, heads), split(k, kvHeads), split(v, kvHeads), {
      isCausal,
      attnMask,
      enableGqa: kvHeads !== heads,
    });
    return this.out_proj.forward(reshape(transpose(out, 1, 2), query.shape));
  }

  protected override describe(): string {
    return `${this.embedDim}, heads: ${this.numHeads}${this.kvHeads === this.numHeads ? "" : `, kvHeads: ${this.kvHeads}`}`;
  }
}

/** Options of `CausalSelfAttention`. */
export interface CausalSelfAttentionOptions {
  bias?: boolean;
  /** Probability of dropout after the output projection. */
  dropout?: number;
  /** Keep weights as [in, out], as GPT-2's files do. */
  inOut?: boolean;
  device?: DeviceName;
}

/** GPT-2's attention: one projection `c_attn` to query, key and value side by side, and `c_proj` back. */
export class CausalSelfAttention extends Module {
  c_attn: Linear;
  c_proj: Linear;
  resid_dropout: Dropout;

  constructor(
    readonly embedDim: number,
    readonly numHeads: number,
    options: CausalSelfAttentionOptions = {},
  ) {
    super();
    checkOptions("CausalSelfAttention", options, ["bias", "dropout", "inOut", "device"]);
    const { dropout = 0, ...linear } = options;
    checkDivisible("CausalSelfAttention", { embedDim, numHeads });
    this.c_attn = new Linear(embedDim, 3 * embedDim, linear);
    this.c_proj = new Linear(embedDim, embedDim, linear);
    this.resid_dropout = new Dropout(dropout);
  }

  /** x [B, T, C]: [B, T, C]; position t sees positions 0 … t. */
  forward(x: Tensor): Tensor {
    const attended = packedAttention(this.c_attn.forward(x), { heads: this.numHeads });
    return this.resid_dropout.forward(this.c_proj.forward(attended));
  }

  protected override describe(): string {
    return `${this.embedDim}, heads: ${this.numHeads}`;
  }
}
