/** Keys and values of the positions a decoder has seen, one pair of tensors [B, S, C] per layer, written in place. */

import type { DeviceName } from "../backend/backend.js";
import { zeros } from "../tensor/create.js";
import { keep } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";

export class KeyValueCache {
  /** Positions filled so far. */
  length = 0;
  private readonly layers: { keys: Tensor; values: Tensor }[];

  constructor(
    shape: { layers: number; width: number },
    batch: number,
    /** Most positions. */
    readonly capacity: number,
    device: DeviceName,
  ) {
    const make = () => keep(zeros([batch, capacity, shape.width], { device }));
    this.layers = Array.from({ length: shape.layers }, () => ({ keys: make(), values: make() }));
  }

  layer(i: number): { keys: Tensor; values: Tensor; length: number } {
    return { ...this.layers[i], length: this.length };
  }

  dispose(): void {
    for (const { keys, values } of this.layers) {
      keys.dispose();
      values.dispose();
    }
  }
}
