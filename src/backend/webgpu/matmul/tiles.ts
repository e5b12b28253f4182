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

/** Rows, and columns, that one of the 16 x 16 threads of a workgroup computes. */
export type Tile = 4 | 8;
/** Rows, and columns, of a workgroup. */
export const sideOf = (tile: Tile): number => 16 * tile;

/** Blocks of a, and of b, that a workgroup loads at once: one for each of its 256 threads. */
const BLOCKS = 128;
/** Steps of k whose text is written out: addresses become constants, loads of several steps run side by side. */
const UNROLLED = 4;

/** A workgroup of 16 x 16 threads loads blocks of a and b for some steps of k, then every thread uses them. */
export function sharedSource(product: Product, tile: Tile): KernelSource {
  const side = sideOf(tile);
  /** Vectors of a step of k in workgroup memory, and the steps that it holds. */
  const perStep = side / 4;
  const depth = (4 * BLOCKS) / perStep;
  const parts = upTo(tile / 4);
  const results = upTo(tile).flatMap((r) => parts.map((q) => ({ r, q, name: `t${r}_${q}` })));
  const resultAt = ({ r, q, name }: (typeof results)[number]): Four => ({
    row: `row + ${64 * (r >> 2) + (r & 3)}u + y * 4u`,
    column: `column + ${64 * q}u + x * 4u`,
    value: name,
  });
  const step = (i: number) => {
    const at = i * perStep;
    return `      {
${parts.map((i) => `        let a${i} = lefts[from_left + ${at + 16 * i}u];\n        let b${i} = rights[from_right + ${at + 16 * i}u];`).join("\n")}
${results.map(({ r, q, name }) => `        ${name} += a${r >> 2}[${r & 3}] * b${q};`).join("\n")}
      }`;
  };
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
  const fetch = (depth: string) => `if (of_left) { ${read(a, left, "(row + outer)", depth)} }
    else { ${read(b, right, "(column + outer)", depth)} }`;
  const keep = (to: string, blocks: Blocks, vectors: string[]) => `let block = ${blocks.bySteps(vectors)};
      ${upTo(4)
        .map(
          (i) =>
            `${to}[(step + ${i}u) * ${perStep}u + outer / 4u] = select(vec4f(), block[${i}], depth + step + ${i}u < p.k);`,
        )
        .join("\n      ")}`;
  return {
    name: "matmul",
    buffers: buffersOf(product),
    params: tileParams(product),
    enables: enablesOf(product),
    code: `${bases}${widening(product)}${storer(product)}${sumsStorer(product)}
var<workgroup> lefts: array<vec4f, ${depth * perStep}>;
var<workgroup> rights: array<vec4f, ${depth * perStep}>;
${entry(256)}
${stepsOf(product)}
  let row = ((group / p.tiles_n) % p.tiles_m) * ${side}u;
  let column = (group % p.tiles_n) * ${side}u;
  let a = base_a(z);
  let b = base_b(z);
  // 32 threads are 8 x 4 tiles: they read the fewest different vectors at once.
  let x = lane % 8u + lane / 32u % 2u * 8u;
  let y = lane / 8u % 4u + lane / 64u * 4u;
  // The block that this thread loads: eight neighbours along the outer dim, then the steps, write to all banks.
  let of_left = lane < ${BLOCKS}u;
  let outer = (lane % 8u + lane % ${BLOCKS}u / ${2 * depth}u * 8u) * 4u;
  let step = lane / 8u % ${depth / 4}u * 4u;
${[...types].map(([name, type]) => `  var ${name}: ${type};`).join("\n")}
${results.map(({ name }) => `  var ${name} = vec4f();`).join("\n")}
${sums ? `  var own_sums = vec4f();\n  let summing = ${sums === "a" ? "column" : "row"} == 0u && lane < ${perStep}u;` : ""}
  ${fetch("first")}
  for (var depth = first; depth < last; depth += ${depth}u) {
    if (of_left) { ${keep("lefts", a, left)} }
    else { ${keep("rights", b, right)} }
    workgroupBarrier();
    let following = depth + ${depth}u;
    if (following < last) { ${fetch("following")} }
    for (var c = 0u; c < ${depth / UNROLLED}u; c++) {
      let from_left = c * ${UNROLLED * perStep}u + y;
      let from_right = c * ${UNROLLED * perStep}u + x;
${upTo(UNROLLED).map(step).join("\n")}
    }
${sums ? `    if (summing) { for (var c = 0u; c < ${depth}u; c++) { own_sums += ${sums === "a" ? "lefts" : "rights"}[c * ${perStep}u + lane]; } }` : ""}
    workgroupBarrier();
  }
${sums ? `  if (summing) { store_sums(target_z, ${sums === "a" ? "row" : "column"} + lane * 4u, own_sums); }` : ""}
${upTo(tile / 4)
  .map((half) => store(product, "target_z", results.filter(({ r }) => r >> 2 === half).map(resultAt)))
  .join("\n")}
}`,
  };
}
