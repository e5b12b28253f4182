/**
 * GPT-2 (Radford et al. 2019): learned positions, layer norm before each branch, GELU, tied input and output
 * embeddings. Field and weight names are those of Hugging Face's files; projection weights lie as [in, out].
 */

import { ConfigError } from "../core/errors.js";
import { checkDivisible } from "../core/options.js";
import { Dropout } from "../nn/dropout.js";
import { gpt2Rule } from "../nn/init.js";
import { Embedding, Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { LayerNorm } from "../nn/norm.js";
import { cachedAttention } from "../ops/cache.js";
import {
  dropout,
  gelu,
  matmul,
  mul,
  narrow,
  packedAttention,
  relu,
  reshape,
  softmax,
  transpose,
  where,
} from "../ops/index.js";
import { lowerMask } from "../ops/mask.js";
import { arange } from "../tensor/create.js";
import type { Tensor } from "../tensor/tensor.js";
import type { KeyValueCache } from "./cache.js";
import { type Fields, field, readConfig } from "./config.js";
import { LanguageModel } from "./language-model.js";

/** Fields of config.json; those that are not given are those of the smallest GPT-2. */
export interface Gpt2Config extends Fields {
  model_type: "gpt2";
  vocab_size: number;
  /** Longest sequence. */
  n_positions: number;
  n_embd: number;
  n_layer: number;
  n_head: number;
  /** Width of the MLP; 4 * n_embd unless given. */
  n_inner: number | null;
  activation_function: "gelu_new" | "gelu" | "relu";
  layer_norm_epsilon: number;
  initializer_range: number;
  /** Dropout after embeddings, of attention weights, and at the end of each branch. */
  embd_pdrop: number;
  attn_pdrop: number;
  resid_pdrop: number;
  tie_word_embeddings: boolean;
  bos_token_id: number | null;
  eos_token_id: number | null;
}

const fields = () => ({
  vocab_size: field.size(50257),
  n_positions: field.size(1024),
  n_embd: field.size(768),
  n_layer: field.count(12, 10_000),
  n_head: field.size(12),
  n_inner: field.optionalSize(),
  activation_function: field.oneOf(["gelu_new", "gelu", "relu"]),
  layer_norm_epsilon: field.number(1e-5),
  initializer_range: field.number(0.02),
  embd_pdrop: field.fraction(0.1),
  attn_pdrop: field.fraction(0.1),
  resid_pdrop: field.fraction(0.1),
  tie_word_embeddings: field.boolean(true),
  bos_token_id: field.optionalToken(),
  eos_token_id: field.optionalToken(),
});

class Attention extends Module {
  readonly c_attn: Linear;
  readonly c_proj: Linear;
  readonly attn_dropout: Dropout;
  readonly resid_dropout: Dropout;

  constructor(private readonly config: Gpt2Config) {
    super();
    const { n_embd: C, attn_pdrop, resid_pdrop } = config;
    this.c_attn = new Linear(C, 3 * C, { inOut: true });
    this.c_proj = new Linear(C, C, { inOut: true });
    this.attn_dropout = new Dropout(attn_pdrop);
    this.resid_dropout = new Dropout(resid_pdrop);
  }

  forward(x: Tensor, cache?: KeyValueCache, layer = 0): Tensor {
    const heads = this.config.n_head;
    const qkv = this.c_attn.forward(x); // (B, T, 3C)
    let y: Tensor; // (B, T, C)
    if (cache) {
      y = cachedAttention(qkv, cache.layers[layer], { heads, before: cache });
    } else if (this.training && this.attn_dropout.p > 0) {
      y = this.withDropout(qkv);
    } else {
      y = packedAttention(qkv, { heads });
    }
    return this.resid_dropout.forward(this.c_proj.forward(y));
  }

  /** Dropout falls on the attention weights, which the fused kernel never holds: the composition instead. */
  private withDropout(qkv: Tensor): Tensor {
    const { n_head: H, n_embd: C } = this.config;
    const [B, T] = qkv.shape;
    const part = (i: number) => transpose(reshape(narrow(qkv, 2, i * C, C), [B, T, H, C / H]), 1, 2); // (B, H, T, D)
    const scores = mul(matmul(part(0), transpose(part(1))), 1 / Math.sqrt(C / H)); // (B, H, T, T)
    const weights = softmax(where(lowerMask(T, T, 0, scores.device), scores, Number.NEGATIVE_INFINITY));
    const dropped = dropout(weights, { p: this.attn_dropout.p, generator: this.attn_dropout.generator });
    return reshape(transpose(matmul(dropped, part(2)), 1, 2), [B, T, C]);
  }
}

class Mlp extends Module {
  readonly c_fc: Linear;
  readonly c_proj: Linear;
  readonly dropout: Dropout;
  private readonly activation: (x: Tensor) => Tensor;

  constructor({ n_embd, n_inner, resid_pdrop, activation_function }: Gpt2Config) {
    super();
    const inner = n_inner ?? 4 * n_embd;
    this.c_fc = new Linear(n_embd, inner, { inOut: true });
    this.c_proj = new Linear(inner, n_embd, { inOut: true });
    this.dropout = new Dropout(resid_pdrop);
    this.activation =
      activation_function === "relu"
        ? relu
        : (x) => gelu(x, { approximate: activation_function === "gelu_new" ? "tanh" : "none" });
  }

  forward(x: Tensor): Tensor {
    return this.dropout.forward(this.c_proj.forward(this.activation(this.c_fc.forward(x))));
  }
}

class Block extends Module {
  readonly ln_1: LayerNorm;
  readonly attn: Attention;
  readonly ln_2: LayerNorm;
  readonly mlp: Mlp;

  constructor(config: Gpt2Config) {
    super();
    const { n_embd, layer_norm_epsilon: eps } = config;
    this.ln_1 = new LayerNorm(n_embd, { eps });
    this.attn = new Attention(config);
    this.ln_2 = new LayerNorm(n_embd, { eps });
    this.mlp = new Mlp(config);
  }

  forward(x: Tensor, cache?: KeyValueCache, layer = 0): Tensor {
    const h = x.add(this.attn.forward(this.ln_1.forward(x), cache, layer));
    return h.add(this.mlp.forward(this.ln_2.forward(h)));
  }
}

class Transformer extends Module {
  readonly wte: Embedding;
  readonly wpe: Embedding;
  readonly drop: Dropout;
  readonly h: Block[];
  readonly ln_f: LayerNorm;

  constructor(config: Gpt2Config) {
    super();
    this.wte = new Embedding(config.vocab_size, config.n_embd);
    this.wpe = new Embedding(config.n_positions, config.n_embd);
    this.drop = new Dropout(config.embd_pdrop);
    this.h = Array.from({ length: config.n_layer }, () => new Block(config));
    this.ln_f = new LayerNorm(config.n_embd, { eps: config.layer_norm_epsilon });
  }

  forward(ids: Tensor, cache?: KeyValueCache): Tensor {
    const T = ids.shape[1];
    const positions = cache ? cache.next(T) : arange(0, T, 1, { device: ids.device });
    let x = this.drop.forward(this.wte.forward(ids).add(this.wpe.forward(positions))); // (B, T, C)
    for (const [i, block] of this.h.entries()) x = block.forward(x, cache, i);
    return this.ln_f.forward(x);
  }
}

/** The model; `createModel({ model_type: "gpt2", … })` and `loadModel(folder)` make it. */
export class Gpt2 extends LanguageModel {
  override readonly config: Gpt2Config;
  readonly transformer: Transformer;
  readonly lm_head?: Linear;

  static fieldNames(): readonly string[] {
    return Object.keys(fields());
  }

  constructor(given: object) {
    super();
    const config = readConfig("gpt2", fields(), given) as Gpt2Config;
    checkDivisible("gpt2", { n_embd: config.n_embd, n_head: config.n_head });
    // Variants that files of Hugging Face may ask for: passed over, they would give other logits.
    if (config.scale_attn_weights === false || config.scale_attn_by_inverse_layer_idx)
      throw new ConfigError("gpt2: needs attention scaled by the width of its heads alone.", { where: "gpt2" });
    this.config = config;
    this.transformer = new Transformer(config);
    if (!config.tie_word_embeddings) this.lm_head = new Linear(config.n_embd, config.vocab_size, { bias: false });
  }

  get contextLength(): number {
    return this.config.n_positions;
  }

  get vocabSize(): number {
    return this.config.vocab_size;
  }

  get cacheShape() {
    return { layers: this.config.n_layer, width: this.config.n_embd };
  }

  override get initialRule() {
    return gpt2Rule(this.config.n_layer, { std: this.config.initializer_range });
  }

  hidden(ids: Tensor, cache?: KeyValueCache): Tensor {
    return this.transformer.forward(ids, cache);
  }

  get head(): Tensor {
    return this.lm_head?.weight ?? this.transformer.wte.weight;
  }

  override computesOnly(modules: readonly Module[]): boolean {
    return modules.every((module) => module.runsAs(parts));
  }

  /** Files may lack the `transformer.` prefix, hold attention masks as buffers, or the tied head a second time. */
  static sanitize<T>(weights: Record<string, T>): Record<string, T> {
    const out: Record<string, T> = {};
    for (const [name, value] of Object.entries(weights)) {
      if (/\.attn\.(bias|masked_bias)$/.test(name)) continue;
      out[/^(wte|wpe|h|ln_f)\./.test(name) ? `transformer.${name}` : name] = value;
    }
    return out;
  }
}

const parts = new Set<unknown>([Gpt2, Transformer, Block, Attention, Mlp, Linear, Embedding, LayerNorm, Dropout]);
