/**
 * Matrix products on a graphics card, by tiles: a workgroup moves 4 x 4 blocks of a and b through workgroup memory, and
 * each of its threads keeps a tile of the result in registers.
 */

import { entry, type KernelSource, upTo } from "../shader.js";
import {
  bases,
  buffersOf,
  enablesOf,
  leftOf,
  type Product,
  type Reading,
  rightOf,
  stepsOf,
  storer,
  sumsStorer,
  tileParams,
  widening,
} from "./product.js";

/** Rows and columns that one thread computes: multiples of 4. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  /** Steps of k that a workgroup loads together. */
  readonly depth: number;
}

/**
 * A function that loads the block at (outer, depth), both multiples of 4, of matrix "left" or "right": column c of what
 * it gives holds step depth + c for four rows (columns) of the matrix; zeros beyond the edges.
 */
function blockLoader(name: string, matrix: Reading, extent: string, along: boolean, wide: boolean): string {
  // `along`: neighbours in memory are neighbours in the outer dim; else they are steps of k.
  const at = (r: string, c: string) =>
    along ? `base + (depth + ${c}) * ${extent} + outer + ${r}` : `base + (outer + ${r}) * p.k + depth + ${c}`;
  const inside = along ? "depth + major < p.k" : `outer + major < ${extent}`;
  const minorInside = (minor: string) => (along ? `outer + ${minor} < ${extent}` : `depth + ${minor} < p.k`);
  const place = (minor: string) => (along ? at(minor, "major") : at("major", minor));
  // No branch for each element: reads beyond the edge stay inside the buffer and count as zero.
  const lanes = ["0u", "1u", "2u", "3u"].map(
    (minor) => `select(0.0, ${matrix.at(place(minor))}, ${minorInside(minor)})`,
  );
  const vector = wide ? matrix.at(`(${place("0u")}) / 4u`) : `vec4f(${lanes.join(", ")})`;
  const whole = wide ? `${inside} && ${minorInside("0u")}` : inside;
  return `
fn ${name}(base: u32, outer: u32, depth: u32) -> mat4x4f {
  var block = mat4x4f();
  for (var major = 0u; major < 4u; major++) {
    if (${whole}) { block[major] = ${vector}; }
  }
  return ${along ? "block" : "transpose(block)"};
}
`;
}

const loaders = (product: Product): string =>
  widening(product) +
  blockLoader("load_left", leftOf(product), "p.m", product.transposeA, product.wideA) +
  blockLoader("load_right", rightOf(product), "p.n", !product.transposeB, product.wideB);

/** Text that adds step `c` of blocks of a and b to the tile: rows of the tile are vectors of four columns. */
const multiply = (tile: Tile, left: (part: number) => string, right: (part: number) => string): string =>
  upTo(tile.rows)
    .flatMap((r) => upTo(tile.columns / 4).map((q) => `      t${r}_${q} += ${left(r >> 2)}[${r & 3}] * ${right(q)};`))
    .join("\n");

const declare = (tile: Tile): string =>
  upTo(tile.rows)
    .flatMap((r) => upTo(tile.columns / 4).map((q) => `  var t${r}_${q} = vec4f();`))
    .join("\n");

/** A workgroup of 16 x 16 threads loads blocks of a and b for `depth` steps of k, then every thread uses them. */
export function sharedSource(product: Product, tile: Tile): KernelSource {
  const [rows, columns] = [16 * tile.rows, 16 * tile.columns];
  const blocks = { a: (rows / 4) * (tile.depth / 4), b: (columns / 4) * (tile.depth / 4) };
  const leftVectors = rows / 4;
  const rightVectors = columns / 4;
  const { sums } = product;
  const summers = sums === "a" ? leftVectors : rightVectors;
  return {
    name: "matmul",
    buffers: buffersOf(product),
    params: tileParams(product),
    enables: enablesOf(product),
    code: `${bases}${loaders(product)}${storer(product)}${sumsStorer(product)}
var<workgroup> lefts: array<vec4f, ${tile.depth * leftVectors}>;
var<workgroup> rights: array<vec4f, ${tile.depth * rightVectors}>;
${entry(256)}
${stepsOf(product)}
  let row = ((group / p.tiles_n) % p.tiles_m) * ${rows}u;
  let column = (group % p.tiles_n) * ${columns}u;
  let a = base_a(z);
  let b = base_b(z);
  let x = lane % 16u;
  let y = lane / 16u;
${declare(tile)}
${sums ? `  var own_sums = vec4f();\n  let summing = ${sums === "a" ? "column" : "row"} == 0u && lane < ${summers}u;` : ""}
  for (var depth = first; depth < last; depth += ${tile.depth}u) {
    for (var task = lane; task < ${blocks.a + blocks.b}u; task += 256u) {
      if (task < ${blocks.a}u) {
        let outer = task / ${tile.depth / 4}u;
        let step = (task % ${tile.depth / 4}u) * 4u;
        let block = load_left(a, row + outer * 4u, depth + step);
        for (var c = 0u; c < 4u; c++) { lefts[(step + c) * ${leftVectors}u + outer] = block[c]; }
      } else {
        let own = task - ${blocks.a}u;
        let outer = own % ${rightVectors}u;
        let step = (own / ${rightVectors}u) * 4u;
        let block = load_right(b, column + outer * 4u, depth + step);
        for (var c = 0u; c < 4u; c++) { rights[(step + c) * ${rightVectors}u + outer] = block[c]; }
      }
    }
    workgroupBarrier();
    for (var c = 0u; c < ${tile.depth}u; c++) {
${upTo(tile.rows / 4)
  .map((i) => `      let a${i} = lefts[c * ${leftVectors}u + ${16 * i}u + y];`)
  .join("\n")}
${upTo(tile.columns / 4)
  .map((i) => `      let b${i} = rights[c * ${rightVectors}u + ${16 * i}u + x];`)
  .join("\n")}
${multiply(
  tile,
  (part) => `a${part}`,
  (part) => `b${part}`,
)}
    }
${sums ? `    if (summing) { for (var c = 0u; c < ${tile.depth}u; c++) { own_sums += ${sums === "a" ? "lefts" : "rights"}[c * ${summers}u + lane]; } }` : ""}
    workgroupBarrier();
  }
${sums ? `  if (summing) { store_sums(target_z, ${sums === "a" ? "row" : "column"} + lane * 4u, own_sums); }` : ""}
${stores(
  tile,
  (r) => `row + ${64 * (r >> 2) + (r & 3)}u + y * 4u`,
  (q) => `column + ${64 * q}u + x * 4u`,
)}
}`,
  };
}

const stores = (tile: Tile, row: (r: number) => string, column: (q: number) => string): string =>
  upTo(tile.rows)
    .flatMap((r) => upTo(tile.columns / 4).map((q) => `  store(target_z, ${row(r)}, ${column(q)}, t${r}_${q});`))
    .join("\n");
