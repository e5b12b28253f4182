/** Matrix products: which kernel a shape gets. */

import type { MatmulLayout, Operand } from "../backend.js";
import { fill } from "./copy.js";
import type { Gpu } from "./gpu.js";
import { COLUMNS, MOST_ROWS, rowsSource } from "./matmul-rows.js";
import { ownSource, type Product, productKey, sharedSource, type Tile } from "./matmul-tiles.js";
import { entry } from "./shader.js";

/** Results of a workgroup: 64 x 64, or 128 x 128 where there are enough of those to fill a graphics card. */
const small: Tile = { rows: 4, columns: 4, depth: 32 };
const large: Tile = { rows: 8, columns: 8, depth: 16 };
const ENOUGH_LARGE_TILES = 128;
/** A software adapter has few processors to fill: large tiles from this many results on. */
const LARGE_ON_SOFTWARE = 128 * 128;

export function matmul(gpu: Gpu, a: Operand, b: Operand, output: Operand, layout: MatmulLayout): void {
  const { m, n, k, transposeA, transposeB, batchA, batchB, bias, accumulate = false } = layout;
  const count = batchA.length;
  if (m === 0 || n === 0 || count === 0) return;
  if (k === 0) {
    withoutTerms(gpu, output, layout);
    return;
  }
  const product: Product = {
    transposeA,
    transposeB,
    bias: bias !== undefined,
    accumulate,
    wideA: (transposeA ? m : k) % 4 === 0,
    wideB: (transposeB ? k : n) % 4 === 0,
    wideOut: n % 4 === 0,
  };
  const operands = [a, b, output, ...(bias ? [bias] : [])];
  const plan = choose(gpu, product, m, n, count);
  const fitA = regular(batchA);
  const fitB = regular(batchB);
  if (fitA && fitB) {
    const numbers = [m, n, k, 0, fitA.first, fitA.run, fitA.count, fitB.first, fitB.run, fitB.count, ...plan.numbers];
    gpu.run(plan.kernel, operands, numbers, plan.groups * count);
    return;
  }
  // Stacks that repeat in no simple pattern: matrix by matrix.
  for (let z = 0; z < count; z++)
    gpu.run(plan.kernel, operands, [m, n, k, z, batchA[z], 1, 1, batchB[z], 1, 1, ...plan.numbers], plan.groups);
}

function choose(gpu: Gpu, product: Product, m: number, n: number, count: number) {
  const key = productKey(product);
  if (m <= MOST_ROWS) {
    const groups = Math.ceil(n / COLUMNS);
    return {
      kernel: gpu.kernel(`matmul rows ${m} ${key}`, () => rowsSource(product, m)),
      groups,
      numbers: [groups],
    };
  }
  const across = gpu.software ? 8 : 16;
  const tilesOf = (tile: Tile) => [Math.ceil(m / (across * tile.rows)), Math.ceil(n / (across * tile.columns))];
  const [largeM, largeN] = tilesOf(large);
  const enough = gpu.software ? m * n >= LARGE_ON_SOFTWARE : largeM * largeN * count >= ENOUGH_LARGE_TILES;
  const tile = enough ? large : small;
  const numbers = tilesOf(tile);
  const source = gpu.software ? ownSource : sharedSource;
  return {
    kernel: gpu.kernel(`matmul ${gpu.software} ${tile.rows} ${key}`, () => source(product, tile)),
    groups: numbers[0] * numbers[1],
    numbers,
  };
}

interface Regular {
  readonly first: number;
  readonly run: number;
  readonly count: number;
}

/** Is entry z always first + floor(z / run) % count? */
function regular(batch: readonly number[]): Regular | undefined {
  const first = batch[0];
  const change = batch.findIndex((matrix) => matrix !== first);
  const run = change < 0 ? batch.length : change;
  const count = change < 0 ? 1 : Math.max(...batch) - first + 1;
  return batch.every((matrix, z) => matrix === first + (Math.floor(z / run) % count))
    ? { first, run, count }
    : undefined;
}

/** k = 0: chains of no terms are 0, and the bias is still added. */
function withoutTerms(gpu: Gpu, output: Operand, { n, bias, accumulate }: MatmulLayout): void {
  if (!bias) {
    if (!accumulate) fill(gpu, output, 0);
    return;
  }
  const kernel = gpu.kernel(`matmul bias ${accumulate}`, () => ({
    name: "matmul",
    buffers: [
      { name: "result", type: "f32", writes: true },
      { name: "bias", type: "f32" },
    ],
    params: { total: "u32", n: "u32" },
    code: `${entry(64)}
  if (thread < p.total) { result[thread] = ${accumulate ? "result[thread] + " : ""}bias[thread % p.n]; }
}`,
  }));
  gpu.run(kernel, [output, bias], [output.size, n], Math.ceil(output.size / 64));
}
