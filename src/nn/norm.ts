/** Normalisation layers. */

import type { DeviceName } from "../backend/backend.js";
import { misfit, showShape } from "../core/errors.js";
import { checkDivisible, checkFinite, checkOptions } from "../core/options.js";
import { checkShape, type Shape, sameShape, sizeOf } from "../core/shape.js";
import { checkTensors } from "../ops/define.js";
import { groupNorm, layerNorm, reshape, rmsNorm } from "../ops/index.js";
import type { Parameter, Tensor } from "../tensor/tensor.js";
import { initializeAlone, ones_, parameter, zeros_ } from "./init.js";
import { Module } from "./module.js";

/** Options of the normalising layers. */
export interface NormOptions {
  eps?: number;
  /** Learn a weight (and a bias, where the norm has one); true unless given. */
  elementwiseAffine?: boolean;
  /** False leaves only the bias out. */
  bias?: boolean;
  device?: DeviceName;
}

function shapeOf(where: string, shape: number | Shape): Shape {
  const own = checkShape(where, typeof shape === "number" ? [shape] : shape);
  if (own.length === 0) throw misfit(where, "needs at least 1 dim to normalise, got [].");
  return [...own];
}

/** A norm over dims that no weight tells the op: they become one, which is what it takes then. */
function overDims(where: string, x: Tensor, dims: Shape, norm: (rows: Tensor) => Tensor): Tensor {
  checkTensors(where, { x });
  const lead = x.shape.slice(0, -dims.length);
  if (!sameShape(x.shape.slice(-dims.length), dims)) {
    throw misfit(where, `needs x [..., ${dims.join(", ")}], got ${showShape(x.shape)}.`);
  }
  return dims.length === 1 ? norm(x) : reshape(norm(reshape(x, [...lead, sizeOf(dims)])), x.shape);
}

/** Layer norm (Ba, Kiros, Hinton 2016) over the last dims, which have `normalizedShape`. */
export class LayerNorm extends Module {
  weight?: Parameter;
  bias?: Parameter;
  readonly eps: number;
  readonly normalizedShape: Shape;

  constructor(normalizedShape: number | Shape, options: NormOptions = {}) {
    super();
    checkOptions("LayerNorm", options, ["eps", "elementwiseAffine", "bias", "device"]);
    const { eps = 1e-5, elementwiseAffine = true, bias = true, device } = options;
    this.normalizedShape = shapeOf("LayerNorm", normalizedShape);
    checkFinite("LayerNorm", { eps });
    this.eps = eps;
    if (elementwiseAffine) this.weight = parameter(this.normalizedShape, device);
    if (elementwiseAffine && bias) this.bias = parameter(this.normalizedShape, device);
    initializeAlone(this);
  }

  override resetParameters(): void {
    if (this.weight) ones_(this.weight);
    if (this.bias) zeros_(this.bias);
  }

  forward(x: Tensor): Tensor {
    const { weight, bias, eps, normalizedShape } = this;
    if (weight) return layerNorm(x, weight, bias, { eps });
    return overDims("LayerNorm", x, normalizedShape, (rows) => layerNorm(rows, undefined, undefined, { eps }));
  }

  protected override describe(): string {
    return `${this.normalizedShape}, eps: ${this.eps}`;
  }
}

/** RMS norm (Zhang and Sennrich 2019) over the last dims, which have `normalizedShape`. */
export class RMSNorm extends Module {
  weight?: Parameter;
  readonly eps: number;
  readonly normalizedShape: Shape;

  constructor(normalizedShape: number | Shape, options: Omit<NormOptions, "bias"> = {}) {
    super();
    checkOptions("RMSNorm", options, ["eps", "elementwiseAffine", "device"]);
    const { eps = 1e-6, elementwiseAffine = true, device } = options;
    this.normalizedShape = shapeOf("RMSNorm", normalizedShape);
    checkFinite("RMSNorm", { eps });
    this.eps = eps;
    if (elementwiseAffine) this.weight = parameter(this.normalizedShape, device);
    initializeAlone(this);
  }

  override resetParameters(): void {
    if (this.weight) ones_(this.weight);
  }

  forward(x: Tensor): Tensor {
    const { weight, eps, normalizedShape } = this;
    if (weight) return rmsNorm(x, weight, { eps });
    return overDims("RMSNorm", x, normalizedShape, (rows) => rmsNorm(rows, undefined, { eps }));
  }

  protected override describe(): string {
    return `${this.normalizedShape}, eps: ${this.eps}`;
  }
}

/** Group norm (Wu and He 2018) of x [N, C, ...] with C channels in `numGroups` groups. */
export class GroupNorm extends Module {
  weight?: Parameter;
  bias?: Parameter;
  readonly eps: number;

  constructor(
    readonly numGroups: number,
    readonly numChannels: number,
    options: { eps?: number; affine?: boolean; device?: DeviceName } = {},
  ) {
    super();
    checkOptions("GroupNorm", options, ["eps", "affine", "device"]);
    checkDivisible("GroupNorm", { numChannels, numGroups });
    const { eps = 1e-5, affine = true, device } = options;
    checkFinite("GroupNorm", { eps });
    this.eps = eps;
    if (affine) {
      this.weight = parameter([numChannels], device);
      this.bias = parameter([numChannels], device);
    }
    initializeAlone(this);
  }

  override resetParameters(): void {
    if (this.weight) ones_(this.weight);
    if (this.bias) zeros_(this.bias);
  }

  forward(x: Tensor): Tensor {
    return groupNorm(x, this.numGroups, this.weight, this.bias, { eps: this.eps });
  }

  protected override describe(): string {
    return `${this.numGroups}, ${this.numChannels}, eps: ${this.eps}`;
  }
}
