/** Linear maps and lookup tables. */

import type { DeviceName } from "../backend/backend.js";
import { checkCounts, checkOptions } from "../core/options.js";
import { embedding, linear } from "../ops/index.js";
import type { Parameter, Tensor } from "../tensor/tensor.js";
import { fans, type InitialCalls, initializeAlone, kaimingUniform_, normal_, parameter, uniform_ } from "./init.js";
import { Module } from "./module.js";

/** Options of `Linear`. */
export interface LinearOptions {
  /** True unless given. */
  bias?: boolean;
  /** Keep the weight as [in, out], as GPT-2's files do. */
  inOut?: boolean;
  device?: DeviceName;
}

/** y = x W^T + b over the last dim: [..., in] to [..., out]. Weight [out, in], bias [out]; uniform within 1 / sqrt(in). */
export class Linear extends Module {
  weight: Parameter;
  bias?: Parameter;
  readonly inOut: boolean;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    options: LinearOptions = {},
  ) {
    super();
    checkOptions("Linear", options, ["bias", "inOut", "device"]);
    checkCounts("Linear", { inFeatures, outFeatures });
    const { bias = true, inOut = false, device } = options;
    this.inOut = inOut;
    this.weight = parameter(inOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures], device);
    if (bias) this.bias = parameter([outFeatures], device);
    initializeAlone(this);
  }

  override resetParameters(calls: InitialCalls): void {
    const { inOut } = this;
    kaimingUniform_(this.weight, { a: Math.sqrt(5), inOut, call: calls("weight") });
    const high = 1 / Math.sqrt(fans(this.weight.shape, inOut).fanIn);
    if (this.bias) uniform_(this.bias, { low: -high, high, call: calls("bias") });
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias, { inOut: this.inOut });
  }

  protected override describe(): string {
    return `${this.inFeatures}, ${this.outFeatures}${this.bias ? "" : ", bias: false"}`;
  }
}

/** Rows of a table [numEmbeddings, embeddingDim] for int32 ids [...]: [..., embeddingDim]; standard normal. */
export class Embedding extends Module {
  weight: Parameter;

  constructor(
    readonly numEmbeddings: number,
    readonly embeddingDim: number,
    options: { device?: DeviceName } = {},
  ) {
    super();
    checkOptions("Embedding", options, ["device"]);
    checkCounts("Embedding", { numEmbeddings, embeddingDim });
    this.weight = parameter([numEmbeddings, embeddingDim], options.device);
    initializeAlone(this);
  }

  override resetParameters(calls: InitialCalls): void {
    normal_(this.weight, { call: calls("weight") });
  }

  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight);
  }

  protected override describe(): string {
    return `${this.numEmbeddings}, ${this.embeddingDim}`;
  }
}
