/**
 * Matrix products on a graphics card, by tiles: a workgroup moves 4 x 4 blocks of a and b through workgroup memory, and
 * each of its threads keeps a tile of the result in registers. While a block is used, the next one is on its way.
 */

import { entry, type KernelSource, upTo } from "../shader.js";
import { type Blocks, blocksOf } from "./blocks.js";
import {
  bases,
  buffersOf,
  enablesOf,
  type Four,
  type Product,
  stepsOf,
  store,
  storer,
  sumsStorer,
  tileParams,
  widening,
} from "./product.js";

/** Rows and columns that one of the 16 x 16 threads of a workgroup computes: 4 or 8. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
}

/** Threads along a side of a workgroup. */
export const SIDE = 16;
/** Blocks of the larger factor that a workgroup loads at once; each thread loads one of either. */
const BLOCKS = 128;
/**
 * Steps of k whose text is written out: addresses become constants, loads of several steps run side by side. Tiles of
 * 8 x 8 results have half as many: with more in flight than 128 registers hold, a card keeps one workgroup, not two.
 */
const unrolled = ({ rows, columns }: Tile): number => (rows * columns > 32 ? 2 : 4);

/** A workgroup of 16 x 16 threads loads blocks of a and b for some steps of k, then every thread uses them. */
export function sharedSource(product: Product, tile: Tile): KernelSource {
  /** Vectors of a step of k in workgroup memory. */
  const [lefts, rights] = [(SIDE * tile.rows) / 4, (SIDE * tile.columns) / 4];
  /** Steps that it holds. */
  const depth = (4 * BLOCKS) / Math.max(lefts, rights);
  const together = unrolled(tile);
  const [leftBlocks, allBlocks] = [(lefts * depth) / 4, ((lefts + rights) * depth) / 4];
  const [down, across] = [upTo(tile.rows / 4), upTo(tile.columns / 4)];
  const results = upTo(tile.rows).flatMap((r) => across.map((q) => ({ r, q, name: `t${r}_${q}` })));
  const resultAt = ({ r, q, name }: (typeof results)[number]): Four => ({
    row: `row + ${64 * (r >> 2) + (r & 3)}u + y * 4u`,
    column: `column + ${64 * q}u + x * 4u`,
    value: name,
  });
  const step = (i: number) => `      {
${down.map((part) => `        let a${part} = lefts[from_left + ${i * lefts + SIDE * part}u];`).join("\n")}
${across.map((part) => `        let b${part} = rights[from_right + ${i * rights + SIDE * part}u];`).join("\n")}
${results.map(({ r, q, name }) => `        ${name} += a${r >> 2}[${r & 3}] * b${q};`).join("\n")}
      }`;
  const { sums } = product;
  const [a, b] = [blocksOf(product, "left"), blocksOf(product, "right")];
  /** The vectors of the block that a thread has read: those of a and of b are the same where their types are. */
  const left = upTo(4).map((i) => `next_${i}`);
  const right = a.raw === b.raw ? left : upTo(4).map((i) => `other_${i}`);
  const types = new Map([
    ...left.map((name) => [name, a.raw] as const),
    ...right.map((name) => [name, b.raw] as const),
  ]);
  const read = (blocks: Blocks, vectors: string[], outer: string, depth: string) =>
    vectors.map((name, i) => `${name} = ${blocks.read(i, outer, `${depth} + step`)};`).join(" ");
  const other = allBlocks < SIDE * SIDE ? `if (lane < ${allBlocks}u) ` : "";
  const fetch = (depth: string) => `if (of_left) { ${read(a, left, "(row + outer)", depth)} }
    else ${other}{ ${read(b, right, "(column + outer)", depth)} }`;
  const kept = (value: string, step: string) =>
    product.wholeK === 32 ? value : `select(vec4f(), ${value}, ${step} < p.k)`;
  const keep = (to: string, perStep: number, blocks: Blocks, vectors: string[]) => `
      let block = ${blocks.bySteps(vectors)};
      let at = step * ${perStep}u + outer / 4u;
      ${upTo(4)
        .map((i) => `${to}[at + ${i * perStep}u] = ${kept(`block[${i}]`, `depth + step + ${i}u`)};`)
        .join("\n      ")}`;
  const summed = sums === "a" ? { buffer: "lefts", perStep: lefts } : { buffer: "rights", perStep: rights };
  return {
    name: "matmul",
    buffers: buffersOf(product),
    params: tileParams(product),
    enables: enablesOf(product),
    code: `${bases}${widening(product)}${storer(product)}${sumsStorer(product)}
var<workgroup> lefts: array<vec4f, ${depth * lefts}>;
var<workgroup> rights: array<vec4f, ${depth * rights}>;
${entry(SIDE * SIDE)}
${stepsOf(product)}
  let row = ((group / p.tiles_n) % p.tiles_m) * ${SIDE * tile.rows}u;
  let column = (group % p.tiles_n) * ${SIDE * tile.columns}u;
  let a = base_a(z);
  let b = base_b(z);
  // 32 threads are 4 x 8 tiles, and every eight of them 2 x 4: they read the fewest different vectors at once.
  let x = lane / 2u % 8u + lane / 32u % 2u * 8u;
  let y = lane % 2u + lane / 16u % 2u * 2u + lane / 64u * 4u;
  // The block that this thread loads: eight neighbours along the outer dim, then the steps, write to all banks.
  let of_left = lane < ${leftBlocks}u;
  let block_number = select(lane - ${leftBlocks}u, lane, of_left);
  let outer = (block_number % 8u + block_number / ${2 * depth}u * 8u) * 4u;
  let step = block_number / 8u % ${depth / 4}u * 4u;
${[...types].map(([name, type]) => `  var ${name}: ${type};`).join("\n")}
${results.map(({ name }) => `  var ${name} = vec4f();`).join("\n")}
${sums ? `  var own_sums = vec4f();\n  let summing = ${sums === "a" ? "column" : "row"} == 0u && lane < ${summed.perStep}u;` : ""}
  ${fetch("first")}
  for (var depth = first; depth < last; depth += ${depth}u) {
    if (of_left) { ${keep("lefts", lefts, a, left)} }
    else ${other}{ ${keep("rights", rights, b, right)} }
    workgroupBarrier();
    let following = depth + ${depth}u;
    if (following < last) { ${fetch("following")} }
    for (var c = 0u; c < ${depth / together}u; c++) {
      let from_left = c * ${together * lefts}u + y;
      let from_right = c * ${together * rights}u + x;
${upTo(together).map(step).join("\n")}
    }
${sums ? `    if (summing) { for (var c = 0u; c < ${depth}u; c++) { own_sums += ${summed.buffer}[c * ${summed.perStep}u + lane]; } }` : ""}
    workgroupBarrier();
  }
${sums ? `  if (summing) { store_sums(target_z, ${sums === "a" ? "row" : "column"} + lane * 4u, own_sums); }` : ""}
${down.map((half) => store(product, "target_z", results.filter(({ r }) => r >> 2 === half).map(resultAt))).join("\n")}
}`,
  };
}
