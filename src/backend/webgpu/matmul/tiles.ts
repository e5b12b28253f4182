/**
 * Matrix products on a graphics card, by tiles: a workgroup moves 4 x 4 blocks of a and b through workgroup memory, and
 * each of its threads keeps a tile of the result in registers. While a block is used, the next one is on its way.
 */

import { entry, type KernelSource, upTo } from "../shader.js";
import {
  bases,
  buffersOf,
  enablesOf,
  type Four,
  leftOf,
  type Product,
  rightOf,
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

/** Texts about blocks of one factor: how they are read, and how they get into workgroup memory. */
interface Factor {
  /** The type of the four registers that hold a block as it was read. */
  readonly raw: string;
  /** Reads the block at step `depth` of k. */
  fetch(register: (i: number) => string, depth: string): string;
  /** Puts it into workgroup memory: a vector is one step for four rows of a, or columns of b; zeros beyond the last step. */
  keep(register: (i: number) => string, depth: string): string;
}

function factor(product: Product, of: "left" | "right", vectors: number): Factor {
  const left = of === "left";
  const matrix = left ? leftOf(product) : rightOf(product);
  const wide = left ? product.wideA : product.wideB;
  // `along`: neighbours in memory are neighbours in the outer dim; else they are steps of k.
  const along = left ? product.transposeA : !product.transposeB;
  const [base, outer, extent] = left ? ["a", "(row + outer)", "p.m"] : ["b", "(column + outer)", "p.n"];
  const fours = upTo(4);
  const read = (i: number, depth: string) => {
    const first = along
      ? `${base} + (${depth} + step + ${i}u) * ${extent} + ${outer}`
      : `${base} + (${outer} + ${i}u) * p.k + ${depth} + step`;
    if (wide) return matrix.read(`(${first}) / 4u`);
    return `${matrix.raw === "f32" ? "vec4f" : `vec4<${matrix.raw}>`}(${fours.map((j) => matrix.read(`${first} + ${j}u`)).join(", ")})`;
  };
  const widened = (value: string) => (wide || matrix.raw === "f32" ? matrix.widen(value) : `vec4f(${value})`);
  return {
    raw: wide ? matrix.raw : `vec4<${matrix.raw}>`,
    // What lies beyond an edge is read too, inside the buffer: with a branch around it, each read would be waited for
    // before the next is sent. Rows and columns beyond the edge end in results that nobody writes.
    fetch: (register, depth) => fours.map((i) => `${register(i)} = ${read(i, depth)};`).join(" "),
    keep: (register, depth) => {
      const block = `mat4x4f(${fours.map((i) => widened(register(i))).join(", ")})`;
      const column = (i: number) =>
        `${of}s[(step + ${i}u) * ${vectors}u + outer / 4u] = select(vec4f(), block[${i}], ${depth} + step + ${i}u < p.k);`;
      return `let block = ${along ? block : `transpose(${block})`}; ${fours.map(column).join(" ")}`;
    },
  };
}

/** A workgroup of 16 x 16 threads loads blocks of a and b for some steps of k, then every thread uses them. */
export function sharedSource(product: Product, tile: Tile): KernelSource {
  const side = sideOf(tile);
  /** Vectors of a step of k in workgroup memory, and the steps that it holds. */
  const vectors = side / 4;
  const depth = (4 * BLOCKS) / vectors;
  const parts = upTo(tile / 4);
  const results = upTo(tile).flatMap((r) => parts.map((q) => ({ r, q, name: `t${r}_${q}` })));
  const resultAt = ({ r, q, name }: (typeof results)[number]): Four => ({
    row: `row + ${64 * (r >> 2) + (r & 3)}u + y * 4u`,
    column: `column + ${64 * q}u + x * 4u`,
    value: name,
  });
  const step = (i: number) => {
    const at = i * vectors;
    return `      {
${parts.map((i) => `        let a${i} = lefts[from_left + ${at + 16 * i}u];\n        let b${i} = rights[from_right + ${at + 16 * i}u];`).join("\n")}
${results.map(({ r, q, name }) => `        ${name} += a${r >> 2}[${r & 3}] * b${q};`).join("\n")}
      }`;
  };
  const { sums } = product;
  const [a, b] = [factor(product, "left", vectors), factor(product, "right", vectors)];
  /** Registers of the block that a thread has read: those of a and of b are the same where their types are. */
  const left = (i: number) => `next_${i}`;
  const right = a.raw === b.raw ? left : (i: number) => `other_${i}`;
  const registers = [
    ...upTo(4).map((i) => `${left(i)}: ${a.raw}`),
    ...(left === right ? [] : upTo(4).map((i) => `${right(i)}: ${b.raw}`)),
  ];
  const fetch = (depth: string) => `if (of_left) { ${a.fetch(left, depth)} } else { ${b.fetch(right, depth)} }`;
  return {
    name: "matmul",
    buffers: buffersOf(product),
    params: tileParams(product),
    enables: enablesOf(product),
    code: `${bases}${widening(product)}${storer(product)}${sumsStorer(product)}
var<workgroup> lefts: array<vec4f, ${depth * vectors}>;
var<workgroup> rights: array<vec4f, ${depth * vectors}>;
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
${registers.map((register) => `  var ${register};`).join("\n")}
${results.map(({ name }) => `  var ${name} = vec4f();`).join("\n")}
${sums ? `  var own_sums = vec4f();\n  let summing = ${sums === "a" ? "column" : "row"} == 0u && lane < ${vectors}u;` : ""}
  ${fetch("first")}
  for (var depth = first; depth < last; depth += ${depth}u) {
    if (of_left) { ${a.keep(left, "depth")} } else { ${b.keep(right, "depth")} }
    workgroupBarrier();
    let following = depth + ${depth}u;
    if (following < last) { ${fetch("following")} }
    for (var c = 0u; c < ${depth / UNROLLED}u; c++) {
      let from_left = c * ${UNROLLED * vectors}u + y;
      let from_right = c * ${UNROLLED * vectors}u + x;
${upTo(UNROLLED).map(step).join("\n")}
    }
${sums ? `    if (summing) { for (var c = 0u; c < ${depth}u; c++) { own_sums += ${sums === "a" ? "lefts" : "rights"}[c * ${vectors}u + lane]; } }` : ""}
    workgroupBarrier();
  }
${sums ? `  if (summing) { store_sums(target_z, ${sums === "a" ? "row" : "column"} + lane * 4u, own_sums); }` : ""}
${upTo(tile / 4)
  .map((half) => store(product, "target_z", results.filter(({ r }) => r >> 2 === half).map(resultAt)))
  .join("\n")}
}`,
  };
}
