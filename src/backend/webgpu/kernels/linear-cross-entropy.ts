/**
 * Cross entropy of a linear map, made of the kernels of its parts over blocks of rows: the logits of one block, and
 * their gradient, are all that is in memory.
 */

import { type DType, dtypes } from "../../../core/dtype.js";
import { type Shape, sizeOf } from "../../../core/shape.js";
import type { LinearCrossEntropyRows, Operand } from "../../kernels.js";
import type { Storage } from "../../storage.js";
import { pieceOf } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import { matmul } from "../matmul/matmul.js";
import { stridedCopy } from "./copy.js";
import { checkIndices } from "./indexing.js";
import { crossEntropy, crossEntropyBackward } from "./loss.js";

/** Logits of one block: 128 MiB, what every adapter binds at once. Each block adds to all of the weight's gradient. */
const MOST_LOGITS = 2 ** 25;
/** Blocks are whole tiles of the matrix product, where they are that high. */
const TILE = 64;

function rowsPerBlock(size: number, mostLogits: number): number {
  const most = Math.max(1, Math.floor(mostLogits / Math.max(1, size)));
  return most < TILE ? most : most - (most % TILE);
}

/** Some of the rows, and tensors that live while they are worked on. */
class Block {
  private readonly made: Operand[] = [];

  constructor(
    private readonly gpu: Gpu,
    readonly first: number,
    readonly rows: number,
  ) {}

  make(shape: Shape, dtype: DType = "float32"): Operand {
    const size = sizeOf(shape);
    const handle = this.gpu.temporary(size * dtypes[dtype].size);
    // Kernels of this backend read nothing but the handle.
    const operand = { shape, dtype, size, storage: { handle } as unknown as Storage };
    this.made.push(operand);
    return operand;
  }

  /** Room for these rows of a tensor; where they are all, the tensor itself. */
  room(all: Operand): Operand {
    return this.rows === all.shape[0] ? all : this.make([this.rows, ...all.shape.slice(1)], all.dtype);
  }

  /** These rows of a tensor. */
  load(all: Operand): Operand {
    const block = this.room(all);
    if (block !== all) this.copy(all, block, { inputOffset: this.offset(all), outputOffset: 0 });
    return block;
  }

  /** What was written into the `room` of these rows, brought to the tensor. */
  store(block: Operand, all: Operand): void {
    if (block !== all) this.copy(block, all, { inputOffset: 0, outputOffset: this.offset(all) });
  }

  release(): void {
    for (const operand of this.made) this.gpu.pool.release(pieceOf(operand));
  }

  private offset(all: Operand): number {
    return this.first * sizeOf(all.shape.slice(1));
  }

  private copy(from: Operand, to: Operand, offsets: { inputOffset: number; outputOffset: number }): void {
    const shape = [Math.min(from.size, to.size)];
    stridedCopy(this.gpu, from, to, { shape, inputStrides: [1], outputStrides: [1], ...offsets });
  }
}

function eachBlock(
  gpu: Gpu,
  { rows, size }: LinearCrossEntropyRows,
  mostLogits: number,
  work: (block: Block) => void,
): void {
  const height = rowsPerBlock(size, mostLogits);
  // One round even for no rows, which makes the gradient of the weight zero.
  for (let first = 0; first === 0 || first < rows; first += height) {
    const block = new Block(gpu, first, Math.min(height, rows - first));
    try {
      work(block);
    } finally {
      block.release();
    }
  }
}

interface How {
  transposeA?: boolean;
  transposeB?: boolean;
  accumulate?: boolean;
}

function multiply(gpu: Gpu, a: Operand, b: Operand, out: Operand, k: number, how: How = {}): void {
  const [m, n] = out.shape;
  matmul(gpu, a, b, out, { m, n, k, transposeA: false, transposeB: false, batchA: [0], batchB: [0], ...how });
}

export function linearCrossEntropy(
  gpu: Gpu,
  x: Operand,
  weight: Operand,
  labels: Operand,
  losses: Operand,
  lse: Operand,
  shape: LinearCrossEntropyRows,
  mostLogits = MOST_LOGITS,
): void {
  const { size, width, ignoreIndex } = shape;
  checkIndices(gpu, "crossEntropy", labels, size, ignoreIndex);
  eachBlock(gpu, shape, mostLogits, (block) => {
    const { rows } = block;
    const logits = block.make([rows, size]);
    multiply(gpu, block.load(x), weight, logits, width, { transposeB: true });
    const own = block.load(labels);
    pieceOf(own).checked = pieceOf(labels).checked;
    const [ownLosses, ownLse] = [block.room(losses), block.room(lse)];
    crossEntropy(gpu, logits, own, ownLosses, ownLse, { rows, size, ignoreIndex });
    block.store(ownLosses, losses);
    block.store(ownLse, lse);
  });
}

export function linearCrossEntropyBackward(
  gpu: Gpu,
  x: Operand,
  weight: Operand,
  labels: Operand,
  lse: Operand,
  grad: Operand,
  dX: Operand | undefined,
  dWeight: Operand | undefined,
  shape: LinearCrossEntropyRows,
  mostLogits = MOST_LOGITS,
): void {
  const { size, width, ignoreIndex } = shape;
  eachBlock(gpu, shape, mostLogits, (block) => {
    const { rows } = block;
    const xs = block.load(x);
    const logits = block.make([rows, size]);
    multiply(gpu, xs, weight, logits, width, { transposeB: true });
    const own = [labels, lse, grad].map((all) => block.load(all));
    // The gradient takes the place of the logits.
    crossEntropyBackward(gpu, logits, own[0], own[1], own[2], logits, { rows, size, ignoreIndex });
    if (dX) {
      const ownDx = block.room(dX);
      multiply(gpu, logits, weight, ownDx, size);
      block.store(ownDx, dX);
    }
    if (dWeight) multiply(gpu, logits, xs, dWeight, rows, { transposeA: true, accumulate: block.first > 0 });
  });
}
