/** One step of recurrent cells, as compositions; gates in PyTorch's order. */

import { listOf, misfit, showShape } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { sameShape } from "../core/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";
import { add, mul, sigmoid, sub, tanh } from "./elementwise.js";
import { split } from "./join.js";
import { linear } from "./matmul.js";

/** Weights of a cell: input to gates [G * H, I], state to gates [G * H, H], and their biases [G * H]. */
export interface CellWeights {
  weightIh: Tensor;
  weightHh: Tensor;
  biasIh?: Tensor;
  biasHh?: Tensor;
}

/** x [B, I], h [B, H], and weights for `gates` gates. */
function checkCell(op: string, gates: number, x: Tensor, h: Tensor, weights: CellWeights): void {
  checkOptions(op, weights, ["weightIh", "weightHh", "biasIh", "biasHh"]);
  const { weightIh, weightHh, biasIh, biasHh } = weights;
  checkTensors(op, { x, h, weightIh, weightHh });
  const [batch, size] = h.shape;
  const rows = gates * size;
  const fits =
    x.ndim === 2 &&
    h.ndim === 2 &&
    x.shape[0] === batch &&
    sameShape(weightIh.shape, [rows, x.shape[1]]) &&
    sameShape(weightHh.shape, [rows, size]) &&
    [biasIh, biasHh].every((bias) => !bias || sameShape(bias.shape, [rows]));
  if (fits) return;
  const got = [x, h, weightIh, weightHh, biasIh, biasHh].filter((each) => each !== undefined);
  throw misfit(
    op,
    `needs x [B, I], h [B, H], weightIh [${gates} H, I], weightHh [${gates} H, H] and biases [${gates} H], got ${listOf(got.map(({ shape }) => showShape(shape)))}.`,
  );
}

/** Long short-term memory (Hochreiter and Schmidhuber 1997), gates i, f, g, o: the next [h, c]. */
export function lstmCell(x: Tensor, h: Tensor, c: Tensor, weights: CellWeights): [Tensor, Tensor] {
  checkCell("lstmCell", 4, x, h, weights);
  const { weightIh, weightHh, biasIh, biasHh } = weights;
  checkTensors("lstmCell", { c });
  if (!sameShape(c.shape, h.shape)) {
    throw misfit("lstmCell", `needs c of the shape of h, got ${showShape(c.shape)} and ${showShape(h.shape)}.`);
  }
  return named("lstmCell", () => {
    const gates = add(linear(x, weightIh, biasIh), linear(h, weightHh, biasHh));
    const [i, f, g, o] = split(gates, h.shape[1], { dim: 1 });
    const next = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)));
    return [mul(sigmoid(o), tanh(next)), next];
  });
}

/** Gated recurrent unit (Cho et al. 2014), gates r, z, n: the next h. */
export function gruCell(x: Tensor, h: Tensor, weights: CellWeights): Tensor {
  checkCell("gruCell", 3, x, h, weights);
  const { weightIh, weightHh, biasIh, biasHh } = weights;
  const size = h.shape[1];
  return named("gruCell", () => {
    const [xr, xz, xn] = split(linear(x, weightIh, biasIh), size, { dim: 1 });
    const [hr, hz, hn] = split(linear(h, weightHh, biasHh), size, { dim: 1 });
    const update = sigmoid(add(xz, hz));
    const candidate = tanh(add(xn, mul(sigmoid(add(xr, hr)), hn)));
    return add(mul(sub(1, update), candidate), mul(update, h));
  });
}
