/** Convolution and pooling layers. Inputs are [N, C, H, W], or [N, C, L] for one dim. */

import type { DeviceName } from "../backend/backend.js";
import { checkDivisible, checkOptions } from "../core/options.js";
import { avgPool2d, type ConvOptions, conv1d, conv2d, flatten, maxPool2d, type PoolOptions } from "../ops/index.js";
import { both, checkLine, checkWindow, type Pair } from "../ops/window.js";
import type { Parameter, Tensor } from "../tensor/tensor.js";
import { fans, type InitialCalls, initializeAlone, kaimingUniform_, parameter, uniform_ } from "./init.js";
import { Module } from "./module.js";

interface LayerOptions {
  bias?: boolean;
  device?: DeviceName;
}

/** What is wrong is told when the layer is made. */
function checkPool(where: string, kernelSize: Pair, options: PoolOptions): void {
  checkOptions(where, options, ["stride", "padding"]);
  const { stride = kernelSize, padding = 0 } = options;
  checkWindow(where, { kernelSize, stride, padding });
}

/** What convolutions share: weight [O, C / groups, …window], bias [O], uniform within 1 / sqrt(fan in). */
abstract class Convolution<Options extends ConvOptions> extends Module {
  weight: Parameter;
  bias?: Parameter;
  readonly options: Options;

  constructor(
    where: string,
    inChannels: number,
    outChannels: number,
    check: (where: string, sizes: Readonly<Record<string, Pair>>) => void,
    { kernelSize, window }: { kernelSize: Pair; window: readonly number[] },
    given: LayerOptions & Options,
  ) {
    super();
    checkOptions(where, given, ["bias", "device", "stride", "padding", "dilation", "groups"]);
    const { bias = true, device, ...options } = given;
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = given;
    checkDivisible(where, { inChannels, groups });
    checkDivisible(where, { outChannels, groups });
    check(where, { kernelSize, stride, padding, dilation });
    this.options = options as unknown as Options;
    this.weight = parameter([outChannels, inChannels / groups, ...window], device);
    if (bias) this.bias = parameter([outChannels], device);
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

/** Options of `Conv1d`. */
interface Conv1dOptions {
  stride?: number;
  padding?: number;
  dilation?: number;
  groups?: number;
}

/** 1-d convolution: [N, C, L] to [N, O, L']. */
export class Conv1d extends Convolution<Conv1dOptions> {
  constructor(inChannels: number, outChannels: number, kernelSize: number, options: LayerOptions & Conv1dOptions = {}) {
    super("Conv1d", inChannels, outChannels, checkLine, { kernelSize, window: [kernelSize] }, options);
  }

  forward(x: Tensor): Tensor {
    return conv1d(x, this.weight, this.bias, this.options);
  }
}

/** 2-d convolution: [N, C, H, W] to [N, O, H', W']. */
export class Conv2d extends Convolution<ConvOptions> {
  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: LayerOptions & ConvOptions = {}) {
    super("Conv2d", inChannels, outChannels, checkWindow, { kernelSize, window: both(kernelSize) }, options);
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
    checkPool("MaxPool2d", kernelSize, options);
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
    checkPool("AvgPool2d", kernelSize, options);
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
