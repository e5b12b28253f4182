/** Convolution and pooling layers. Inputs are [N, C, H, W], or [N, C, L] for one dim. */

import type { DeviceName } from "../backend/backend.js";
import { checkOptions } from "../core/options.js";
import { avgPool2d, type ConvOptions, conv1d, conv2d, flatten, maxPool2d, type PoolOptions } from "../ops/index.js";
import type { Parameter, Tensor } from "../tensor/tensor.js";
import { fans, type InitialCalls, initializeAlone, kaimingUniform_, parameter, uniform_ } from "./init.js";
import { Module } from "./module.js";

type Pair = number | readonly [number, number];

interface LayerOptions {
  bias?: boolean;
  device?: DeviceName;
}

const convolutionOptions = ["bias", "device", "stride", "padding", "dilation", "groups"];
const poolOptions = ["stride", "padding"];

/** What convolutions share: weight [O, C / groups, …window], bias [O], uniform within 1 / sqrt(fan in). */
abstract class Convolution extends Module {
  weight: Parameter;
  bias?: Parameter;

  constructor(shape: readonly number[], { bias = true, device }: LayerOptions) {
    super();
    this.weight = parameter(shape, device);
    if (bias) this.bias = parameter([shape[0]], device);
    initializeAlone(this);
  }

  override resetParameters(calls: InitialCalls): void {
    kaimingUniform_(this.weight, { a: Math.sqrt(5), call: calls("weight") });
    const high = 1 / Math.sqrt(fans(this.weight.shape).fanIn);
    if (this.bias) uniform_(this.bias, { low: -high, high, call: calls("bias") });
  }

  protected override describe(): string {
    return this.weight.shape.join(", ");
  }
}

/** 1-d convolution: [N, C, L] to [N, O, L']. */
export class Conv1d extends Convolution {
  readonly options: { stride?: number; padding?: number; dilation?: number; groups?: number };

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    given: LayerOptions & { stride?: number; padding?: number; dilation?: number; groups?: number } = {},
  ) {
    checkOptions("Conv1d", given, convolutionOptions);
    const { bias, device, ...options } = given;
    super([outChannels, inChannels / (options.groups ?? 1), kernelSize], { bias, device });
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return conv1d(x, this.weight, this.bias, this.options);
  }
}

/** 2-d convolution: [N, C, H, W] to [N, O, H', W']. */
export class Conv2d extends Convolution {
  readonly options: ConvOptions;

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, given: LayerOptions & ConvOptions = {}) {
    checkOptions("Conv2d", given, convolutionOptions);
    const { bias, device, ...options } = given;
    const [height, width] = typeof kernelSize === "number" ? [kernelSize, kernelSize] : kernelSize;
    super([outChannels, inChannels / (options.groups ?? 1), height, width], { bias, device });
    this.options = options;
  }

  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, this.bias, this.options);
  }
}

/** The largest element of each window. */
export class MaxPool2d extends Module {
  constructor(
    readonly kernelSize: Pair,
    readonly options: PoolOptions = {},
  ) {
    super();
    checkOptions("MaxPool2d", options, poolOptions);
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.kernelSize, this.options);
  }
}

/** The mean of each window. */
export class AvgPool2d extends Module {
  constructor(
    readonly kernelSize: Pair,
    readonly options: PoolOptions = {},
  ) {
    super();
    checkOptions("AvgPool2d", options, poolOptions);
  }

  forward(x: Tensor): Tensor {
    return avgPool2d(x, this.kernelSize, this.options);
  }
}

/** All dims but the first as one. */
export class Flatten extends Module {
  forward(x: Tensor): Tensor {
    return flatten(x, 1);
  }
}
