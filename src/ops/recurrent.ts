/** One step of recurrent cells, as compositions; gates in PyTorch's order. */

import type { Tensor } from "../tensor/tensor.js";
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

/** Long short-term memory (Hochreiter and Schmidhuber 1997), gates i, f, g, o: the next [h, c]. */
export function lstmCell(
  x: Tensor,
  h: Tensor,
  c: Tensor,
  { weightIh, weightHh, biasIh, biasHh }: CellWeights,
): [Tensor, Tensor] {
  const gates = add(linear(x, weightIh, biasIh), linear(h, weightHh, biasHh));
  const [i, f, g, o] = split(gates, gates.shape[1] / 4, { dim: 1 });
  const next = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)));
  return [mul(sigmoid(o), tanh(next)), next];
}

/** Gated recurrent unit (Cho et al. 2014), gates r, z, n: the next h. */
export function gruCell(x: Tensor, h: Tensor, { weightIh, weightHh, biasIh, biasHh }: CellWeights): Tensor {
  const size = h.shape[1];
  const [xr, xz, xn] = split(linear(x, weightIh, biasIh), size, { dim: 1 });
  const [hr, hz, hn] = split(linear(h, weightHh, biasHh), size, { dim: 1 });
  const update = sigmoid(add(xz, hz));
  const candidate = tanh(add(xn, mul(sigmoid(add(xr, hr)), hn)));
  return add(mul(sub(1, update), candidate), mul(update, h));
}
