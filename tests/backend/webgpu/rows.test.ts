/** Softmax, norms and losses on the graphics card beside the reference backend. */

import { describe, expect, test } from "vitest";
import {
  linearCrossEntropy,
  linearCrossEntropyBackward,
} from "../../../src/backend/webgpu/kernels/linear-cross-entropy.js";
import { type DType, decode, encode } from "../../../src/core/dtype.js";
import { noise } from "../operands.js";
import { type Body, card, compare, gpu, plain, reference } from "./beside.js";

describe.skipIf(!gpu)("rows beside the reference", () => {
  test.each([7, 700, 5003])("minus infinity and NaN in softmax and cross entropy of rows of %i", async (size) => {
    const filled = [Number.NEGATIVE_INFINITY, Number.NaN];
    const rows = filled.length * 3;
    // Nothing but one of them; one of them up to the last element; one of them in the middle.
    const values = filled.flatMap((odd) => [
      ...Array<number>(size).fill(odd),
      ...Array.from({ length: size }, (_, i) => (i < size - 1 ? odd : 2)),
      ...noise(size).map((x, i) => (i === size >> 1 ? odd : x)),
    ]);
    const body: Body = (kernels, make, out) => {
      const x = make(values, [rows, size]);
      const [soft, log, losses, lse] = [out(x.shape), out(x.shape), out([rows]), out([rows])];
      kernels.softmax(x, soft, { rows, size, log: false });
      kernels.softmax(x, log, { rows, size, log: true });
      const labels = make(Array<number>(rows).fill(size - 1), [rows], "int32");
      kernels.crossEntropy(x, labels, losses, lse, { rows, size, ignoreIndex: -100 });
      return [soft, log, losses, lse];
    };
    for (const on of [gpu!, card!]) await compare(2e-5, body, on);
  });

  test.each([
    [1, 1],
    [3, 7],
    [5, 64],
    [2, 300],
    [130, 12],
    [2, 768],
    [3, 1001],
    [2, 5003],
  ])("softmax, norms and cross entropy of %i rows of %i", async (rows, size) => {
    const body: Body = (kernels, make, out) => {
      const shape = [rows, size];
      const [x, g, w, b] = [
        make(noise(rows * size), shape),
        make(noise(rows * size, 2), shape),
        make(noise(size, 3)),
        make(noise(size, 4)),
      ];
      const o = Array.from({ length: 9 }, () => out(shape));
      const v = Array.from({ length: 6 }, () => out([rows]));
      const s = Array.from({ length: 4 }, () => out([size]));
      kernels.softmax(x, o[0], { rows, size, log: false });
      kernels.softmax(x, o[1], { rows, size, log: true });
      kernels.softmaxBackward(o[0], g, o[2], { rows, size, log: false });
      kernels.softmaxBackward(o[1], g, o[3], { rows, size, log: true });
      // With one column the variance is 0: a large epsilon keeps rounding from being all there is.
      kernels.layerNorm(x, w, b, o[4], v[0], v[1], { rows, size, eps: 0.1 });
      kernels.layerNormBackward(g, x, w, v[0], v[1], o[5], s[0], s[1], { rows, size });
      kernels.rmsNorm(x, undefined, o[6], v[2], { rows, size, eps: 0.1 });
      kernels.rmsNormBackward(g, x, w, v[2], o[7], s[2], { rows, size });
      const labels = make(
        Array.from({ length: rows }, (_, i) => (i % 3 === 1 ? -100 : (i * 7) % size)),
        [rows],
        "int32",
      );
      kernels.crossEntropy(x, labels, v[3], v[4], { rows, size, ignoreIndex: -100 });
      const grads = make(noise(rows, 6));
      kernels.crossEntropyBackward(x, labels, v[4], grads, o[8], { rows, size, ignoreIndex: -100 });
      return [...o, ...v.slice(0, 5), ...s.slice(0, 3)];
    };
    const runs: number[][][] = [[], [], [], []];
    for (const [run, on] of [gpu!, gpu!, plain!, card!].entries()) await compare(2e-5, body, on, runs[run]);
    expect(runs[1]).toEqual(runs[0]);
  });

  test.each<[number, number, number, DType]>([
    [70, 33, 2 ** 24, "float32"],
    [70, 33, 33 * 65, "float32"],
    [5, 33, 70, "float32"],
    [0, 5, 5, "float32"],
    [70, 33, 2 ** 24, "float16"],
    [70, 33, 33 * 65, "bfloat16"],
    [5, 33, 70, "float16"],
  ])(
    "cross entropy of a linear map, %i rows of %i classes, blocks of %i logits, factors of %s",
    (rows, size, mostLogits, dtype) =>
      compare(2e-5, (kernels, make, out) => {
        const shape = { rows, size, width: 7, ignoreIndex: -100 };
        // The reference has the numbers of the 16 bits in 32.
        const factor = (count: number, seed: number) => {
          const values = noise(count * 7, seed).map((value) => decode(dtype, encode(dtype, value)));
          return make(values, [count, 7], kernels === reference.kernels ? "float32" : dtype);
        };
        const [x, weight, grad] = [factor(rows, 1), factor(size, 2), noise(rows, 3)];
        const classes = Array.from({ length: rows }, (_, i) => (i % 3 === 1 ? -100 : (i * 5) % size));
        const labels = make(classes, [rows], "int32");
        const [losses, lse, dX, dWeight] = [out([rows]), out([rows]), out([rows, 7]), out([size, 7])];
        const { linearCrossEntropy: forward, linearCrossEntropyBackward: backward } =
          kernels === reference.kernels
            ? kernels
            : {
                linearCrossEntropy: (...args: Parameters<typeof kernels.linearCrossEntropy>) =>
                  linearCrossEntropy(gpu!.gpu, ...args, mostLogits),
                linearCrossEntropyBackward: (...args: Parameters<typeof kernels.linearCrossEntropyBackward>) =>
                  linearCrossEntropyBackward(gpu!.gpu, ...args, mostLogits),
              };
        forward(x, weight, labels, losses, lse, shape);
        backward(x, weight, labels, lse, make(grad), dX, dWeight, shape);
        return [losses, lse, dX, dWeight];
      }),
  );
});
