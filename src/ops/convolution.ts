/** Convolution and pooling as compositions: windows are gathered, then multiplied or reduced. */

import { isFloat } from "../core/dtype.js";
import { listOf, misfit, showShape } from "../core/errors.js";
import { checkCounts, checkOptions } from "../core/options.js";
import { sameShape } from "../core/shape.js";
import { fromData } from "../tensor/create.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named, withArithmetic } from "./define.js";
import { add } from "./elementwise.js";
import { indexSelect } from "./indexing.js";
import { matmul } from "./matmul.js";
import { reshape, squeeze, unsqueeze } from "./movement.js";
import { amax, mean } from "./reduce.js";
import { pad } from "./region.js";
import { both, checkLine, checkWindow, type Pair } from "./window.js";

/** One number, or one each for height and width; 1, 0, 1 and 1 unless given. */
export interface ConvOptions {
  stride?: Pair;
  padding?: Pair;
  dilation?: Pair;
  groups?: number;
}

interface Windows {
  /** [N, C, kh * kw, oh * ow]. */
  readonly values: Tensor;
  readonly height: number;
  readonly width: number;
}

/** The windows of x [N, C, H, W] under a kernel. */
function windows(
  op: string,
  x: Tensor,
  kernelSize: Pair,
  { stride = 1, padding = 0, dilation = 1 }: ConvOptions,
  fill = 0,
): Windows {
  checkWindow(op, { kernelSize, stride, padding, dilation });
  const kernel = both(kernelSize);
  const [sh, sw] = both(stride);
  const [ph, pw] = both(padding);
  const [dh, dw] = both(dilation);
  const [n, c, h, w] = x.shape;
  const [tall, wide] = [h + 2 * ph, w + 2 * pw];
  const height = Math.floor((tall - dh * (kernel[0] - 1) - 1) / sh) + 1;
  const width = Math.floor((wide - dw * (kernel[1] - 1) - 1) / sw) + 1;
  if (height < 1 || width < 1) {
    throw misfit(
      op,
      `needs a window no larger than the padded input, got ${showShape(kernel)} and ${showShape([tall, wide])}.`,
    );
  }
  const positions = new Int32Array(kernel[0] * kernel[1] * height * width);
  let at = 0;
  for (let i = 0; i < kernel[0]; i++)
    for (let j = 0; j < kernel[1]; j++)
      for (let y = 0; y < height; y++)
        for (let z = 0; z < width; z++) positions[at++] = (y * sh + i * dh) * wide + z * sw + j * dw;
  const padded = ph || pw ? pad(x, [pw, pw, ph, ph], { value: fill }) : x;
  const index = fromData(positions, [positions.length], { dtype: "int32", device: x.device });
  const values = indexSelect(reshape(padded, [n, c, tall * wide]), 2, index);
  return { values: reshape(values, [n, c, kernel[0] * kernel[1], height * width]), height, width };
}

const shapesOf = (...tensors: (Tensor | undefined)[]): string =>
  listOf(tensors.flatMap((each) => (each ? [showShape(each.shape)] : [])));

/** 2-d convolution of x [N, C, H, W] with weight [O, C / groups, kh, kw] and bias [O]: [N, O, H', W']. */
export function conv2d(x: Tensor, weight: Tensor, bias?: Tensor, options: ConvOptions = {}): Tensor {
  checkOptions("conv2d", options, ["stride", "padding", "dilation", "groups"]);
  checkTensors("conv2d", bias ? { x, weight, bias } : { x, weight });
  const { groups = 1 } = options;
  checkCounts("conv2d", { groups });
  const [n, c] = x.shape;
  const [o, perGroup, kh, kw] = weight.shape;
  const fits = x.ndim === 4 && weight.ndim === 4 && c === perGroup * groups && o % groups === 0;
  if (!fits || (bias && !sameShape(bias.shape, [o]))) {
    throw misfit(
      "conv2d",
      `needs x [N, C, H, W], weight [O, C / ${groups}, kh, kw]${bias ? " and bias [O]" : ""}, got ${shapesOf(x, weight, bias)}.`,
    );
  }
  return named("conv2d", () => {
    const { values, height, width } = windows("conv2d", x, [kh, kw], options);
    const columns = reshape(values, [n, groups, perGroup * kh * kw, height * width]);
    const rows = reshape(weight, [groups, o / groups, perGroup * kh * kw]);
    const out = reshape(matmul(rows, columns), [n, o, height, width]);
    return bias ? add(out, reshape(withArithmetic(bias), [o, 1, 1])) : out;
  });
}

/** 1-d convolution of x [N, C, L] with weight [O, C / groups, k] and bias [O]: [N, O, L']. */
export function conv1d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options: { stride?: number; padding?: number; dilation?: number; groups?: number } = {},
): Tensor {
  checkOptions("conv1d", options, ["stride", "padding", "dilation", "groups"]);
  checkTensors("conv1d", bias ? { x, weight, bias } : { x, weight });
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
  checkLine("conv1d", { groups, stride, padding, dilation });
  const [o, perGroup, k] = weight.shape;
  const fits = x.ndim === 3 && weight.ndim === 3 && x.shape[1] === perGroup * groups && o % groups === 0;
  if (!fits || (bias && !sameShape(bias.shape, [o]))) {
    throw misfit(
      "conv1d",
      `needs x [N, C, L], weight [O, C / ${groups}, k]${bias ? " and bias [O]" : ""}, got ${shapesOf(x, weight, bias)}.`,
    );
  }
  const [reach, length] = [dilation * (k - 1) + 1, x.shape[2] + 2 * padding];
  if (reach > length)
    throw misfit("conv1d", `needs a window no larger than the padded input, got ${reach} and ${length}.`);
  const wide = { stride: [1, stride], padding: [0, padding], dilation: [1, dilation], groups } as const;
  return named("conv1d", () => squeeze(conv2d(unsqueeze(x, 2), unsqueeze(weight, 2), bias, wide), 2));
}

/** One number, or one each for height and width. */
export interface PoolOptions {
  /** The kernel size unless given. */
  stride?: Pair;
  padding?: Pair;
}

const pooling =
  (op: string, fill: number, reduce: typeof amax) =>
  (x: Tensor, kernelSize: Pair, options: PoolOptions = {}): Tensor => {
    checkOptions(op, options, ["stride", "padding"]);
    checkTensors(op, { x });
    const { stride = kernelSize, padding = 0 } = options;
    if (x.ndim !== 4) throw misfit(op, `needs x [N, C, H, W], got ${showShape(x.shape)}.`);
    // Integers have no infinity: their least is as good.
    const least = x.dtype === "int32" ? -(2 ** 31) : 0;
    return named(op, () => {
      const { values, height, width } = windows(
        op,
        x,
        kernelSize,
        { stride, padding },
        isFloat(x.dtype) ? fill : Math.max(fill, least),
      );
      return reshape(reduce(values, { dim: 2 }), [x.shape[0], x.shape[1], height, width]);
    });
  };

/** The largest element of each window of x [N, C, H, W]; equal ones share the gradient. */
export const maxPool2d = pooling("maxPool2d", Number.NEGATIVE_INFINITY, amax);

/** The mean of each window of x [N, C, H, W], padding included. */
export const avgPool2d = pooling("avgPool2d", 0, mean);
