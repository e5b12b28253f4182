/** Keys and values of the positions a decoder has seen, side by side in one tensor [B, S, 2 * C] per layer, written in place. */

import type { DeviceName } from "../backend/backend.js";
import { backendOf } from "../backend/devices.js";
import { zeros } from "../tensor/create.js";
import { live, writeInts } from "../tensor/repeated.js";
import { keep } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";

export class KeyValueCache {
  /** Positions filled so far. */
  length = 0;
  readonly layers: readonly Tensor[];

  constructor(
    shape: { layers: number; width: number },
    batch: number,
    /** Most positions. */
    readonly capacity: number,
    private readonly device: DeviceName,
  ) {
    const layers: Tensor[] = [];
    this.layers = layers;
    try {
      const own = { dtype: "float32", device } as const;
      while (layers.length < shape.layers) layers.push(keep(zeros([batch, capacity, 2 * shape.width], own)));
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Positions [count] of the rows that come next. */
  next(count: number): Tensor {
    const positions = Tensor.empty(backendOf(this.device), [count], "int32");
    writeInts(positions, () => Array.from({ length: count }, (_, i) => this.length + i));
    return positions;
  }

  /** So many rows came. */
  grow(count: number): void {
    live([], () => {
      this.length += count;
    });
  }

  dispose(): void {
    for (const layer of this.layers) layer.dispose();
  }
}
