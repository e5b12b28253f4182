/** Matrix products: which kernel a shape gets. */

import type { MatmulLayout, Operand } from "../../kernels.js";
import type { Gpu } from "../gpu.js";
import { fill } from "../kernels/copy.js";
import { gathering } from "../kernels/loops.js";
import { fold } from "../kernels/reduce.js";
import type { Piece } from "../pool.js";
import { type Epilogue, entry, groupsOf, type Kernel, THREADS } from "../shader.js";
import { ENOUGH_TILES, type Product, productKey, type Tiling } from "./product.js";
import { columnsOf, keyOf, MOST_ROWS, rowsSource, rowsTile, threadsOf } from "./rows.js";
import { SIDE, sharedSource, type Tile } from "./tiles.js";

/** Results of a thread: the larger a tile, the fewer loads for each. */
const tilesOfCards: readonly Tile[] = [
  { rows: 8, columns: 8 },
  { rows: 8, columns: 4 },
  { rows: 4, columns: 8 },
  { rows: 4, columns: 4 },
];
/** In so many workgroups a row's norm is made again by each, rather than once by a launch before them. */
const MOST_PROLOGUES = 2048;
/** Products of few tiles and many steps are cut along k into parts that are added up, so that there is work for all. */
const PARTS = { software: { tiles: 1, steps: 2048, most: 4 }, card: { tiles: 32, steps: 512, most: 16 } };

export function matmul(gpu: Gpu, a: Operand, b: Operand, output: Operand, layout: MatmulLayout): void {
  multiply(gpu, a, b, output, layout);
}

/** A product of two matrices, and in the same launch the sums over k of the rows of a or of the columns of b. */
export function matmulAndSums(
  gpu: Gpu,
  a: Operand,
  b: Operand,
  output: Operand,
  sums: Operand,
  layout: MatmulLayout,
  of: "a" | "b",
): void {
  const { m, n, k, transposeA, transposeB } = layout;
  if (m > MOST_ROWS && n > 0 && k > 0) {
    multiply(gpu, a, b, output, layout, { of, output: sums });
    return;
  }
  multiply(gpu, a, b, output, layout);
  const [summed, size] = of === "a" ? [a, m] : [b, n];
  const alongK = of === "a" ? !transposeA : transposeB;
  fold(gpu, "sum", "f32", summed, sums, {
    outer: alongK ? size : 1,
    size: k,
    inner: alongK ? 1 : size,
  });
}

interface Sums {
  readonly of: "a" | "b";
  readonly output: Operand;
}

function multiply(gpu: Gpu, a: Operand, b: Operand, output: Operand, layout: MatmulLayout, sums?: Sums): void {
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
    wholeK: k % 32 === 0 ? 32 : k % 4 === 0 ? 4 : 1,
    sums: sums?.of ?? "",
    split: false,
    left: a.dtype,
    right: b.dtype,
    f16: gpu.abilities.f16,
  };
  /** All matrices of the stack; a launch that can do elementwise work on its results waits for it. */
  const launch = (
    kernelOf: (product: Product) => Kernel,
    operands: Operand[],
    last: readonly number[],
    groups: number,
  ) =>
    batches(layout, (z, places, matrices) => {
      const numbers = [m, n, k, z, ...places, ...last];
      if (gpu.software || !product.wideOut || accumulate || sums || matrices < count)
        gpu.run(kernelOf(product), operands, numbers, groups * matrices);
      else {
        const finish = (epilogue: Epilogue) => kernelOf({ ...product, epilogue });
        gpu.hold(kernelOf(product), operands, output, numbers, groups * matrices, { finish });
      }
    });
  if (m <= MOST_ROWS) {
    const tile = rowsTile(gpu.software, product, m, n, k, count);
    const groups = Math.ceil(n / columnsOf(tile));
    const rowsOf = (product: Product) =>
      gpu.kernel(`matmul rows ${keyOf(tile)} ${productKey(product)}`, () => rowsSource(product, tile));
    const after = [b, output, ...(bias ? [bias] : [])];
    const prologue = groups <= MOST_PROLOGUES && m === 1 && count === 1 ? gpu.prologueOf(a) : undefined;
    if (prologue && product.wideA && product.wideOut && !accumulate && prologue.threads <= threadsOf(tile)) {
      const normed = { ...product, prologue };
      const finish = (epilogue: Epilogue) => rowsOf({ ...normed, epilogue });
      const numbers = [m, n, k, 0, batchA[0], 1, 1, batchB[0], 1, 1, groups];
      if (gpu.follow(prologue, rowsOf(normed), after, output, numbers, groups, finish)) return;
    }
    launch(rowsOf, [a, ...after], [groups], groups);
    return;
  }
  const { tiles, kernelOf } =
    gpu.only.fragments?.products(gpu, product, m, n, count) ??
    gpu.only.software?.products(gpu, product, m, n) ??
    shared(gpu, m, n, count);
  const groups = tiles[0] * tiles[1];
  const parts = count === 1 ? partsOf(gpu, groups, k) : 1;
  if (parts > 1) {
    // Whole steps of 32, so that no workgroup loads beyond its part.
    const steps = Math.ceil(k / parts / 32) * 32;
    const made = Math.ceil(k / steps);
    const kernel = kernelOf({ ...product, split: true, bias: false, accumulate: false });
    const partial = gpu.temporary(made * output.size * 4);
    const partialSums = sums && gpu.temporary(made * sums.output.size * 4);
    const numbers = [m, n, k, 0, batchA[0], 1, 1, batchB[0], 1, 1, ...tiles, steps];
    gpu.run(kernel, [a, b, partial, ...(partialSums ? [partialSums] : [])], numbers, groups * made);
    combine(gpu, partial, output, layout, made, partialSums, sums?.output);
    for (const piece of [partial, partialSums]) if (piece) gpu.pool.release(piece);
    return;
  }
  launch(kernelOf, [a, b, output, ...(bias ? [bias] : []), ...(sums ? [sums.output] : [])], tiles, groups);
}

/** One launch for all matrices of the stack; where they repeat in no simple pattern, one for each. */
function batches(
  { batchA, batchB }: MatmulLayout,
  launch: (z: number, places: number[], matrices: number) => void,
): void {
  const [fitA, fitB] = [regular(batchA), regular(batchB)];
  const count = batchA.length;
  if (fitA && fitB) {
    launch(0, [fitA.first, fitA.run, fitA.count, fitB.first, fitB.run, fitB.count], count);
    return;
  }
  for (let z = 0; z < count; z++) launch(z, [batchA[z], 1, 1, batchB[z], 1, 1], 1);
}

function shared(gpu: Gpu, m: number, n: number, count: number): Tiling {
  const along = ({ rows, columns }: Tile) => [Math.ceil(m / (SIDE * rows)), Math.ceil(n / (SIDE * columns))] as const;
  const pays = (tile: Tile) => {
    const halfEmpty = m <= (SIDE * tile.rows) / 2 || n <= (SIDE * tile.columns) / 2;
    return !halfEmpty && along(tile)[0] * along(tile)[1] * count >= ENOUGH_TILES;
  };
  const tile = tilesOfCards.find(pays) ?? tilesOfCards[tilesOfCards.length - 1];
  const kernelOf = (product: Product) =>
    gpu.kernel(`matmul ${tile.rows} ${tile.columns} ${productKey(product)}`, () => sharedSource(product, tile));
  return { tiles: along(tile), kernelOf };
}

/** Into how many parts the steps of a product are cut: at least four, or it is not worth another launch. */
function partsOf({ software }: Gpu, groups: number, k: number): number {
  const { tiles, steps, most } = software ? PARTS.software : PARTS.card;
  const parts = Math.min(Math.floor(k / steps), most);
  return groups <= tiles && parts >= 4 ? parts : 1;
}

/** out = (out +) the sum of the parts in order (+ bias); and the parts of the sums likewise. */
function combine(
  gpu: Gpu,
  partial: Piece,
  output: Operand,
  { n, bias, accumulate = false }: MatmulLayout,
  parts: number,
  partialSums: Piece | undefined,
  sums: Operand | undefined,
): void {
  const add = (from: string, at: string) =>
    gathering(
      { first: "0u", end: "p.parts", by: 1, ahead: gpu.software ? 1 : 4 },
      { x: (i) => `${from}[${i} * p.${from}_size + ${at}]` },
      "total += select(0.0, x, inside);",
    );
  const kernel = gpu.kernel(`matmul parts ${bias !== undefined} ${accumulate} ${sums !== undefined}`, () => ({
    name: "matmul parts",
    buffers: [
      { name: "products", type: "f32" },
      { name: "result", type: "f32", writes: true },
      ...(bias ? [{ name: "bias", type: "f32" }] : []),
      ...(sums
        ? [
            { name: "columns", type: "f32" },
            { name: "sums", type: "f32", writes: true },
          ]
        : []),
    ],
    params: { parts: "u32", products_size: "u32", columns_size: "u32", n: "u32" },
    code: `${entry(THREADS)}
  var total = 0.0;
  if (thread < p.products_size) {
${add("products", "thread")}
    result[thread] = ${accumulate ? "result[thread] + " : ""}(total${bias ? " + bias[thread % p.n]" : ""});
    return;
  }
${sums ? `  let at = thread - p.products_size;\n  if (at >= p.columns_size) { return; }\n${add("columns", "at")}\n  sums[at] = total;` : ""}
}`,
  }));
  const operands = [partial, output, ...(bias ? [bias] : []), ...(partialSums && sums ? [partialSums, sums] : [])];
  const threads = output.size + (sums?.size ?? 0);
  gpu.run(kernel, operands, [parts, output.size, sums?.size ?? 0, n], groupsOf(threads));
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
  const count = change < 0 ? 1 : batch.reduce((a, b) => Math.max(a, b)) - first + 1;
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
    code: `${entry(THREADS)}
  if (thread < p.total) { result[thread] = ${accumulate ? "result[thread] + " : ""}bias[thread % p.n]; }
}`,
  }));
  gpu.run(kernel, [output, bias], [output.size, n], groupsOf(output.size));
}
