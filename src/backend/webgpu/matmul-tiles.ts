/**
 * Matrix products by tiles. Both kernels move 4 x 4 blocks of a and b and keep a tile of the result in registers; on a
 * graphics card a workgroup shares its blocks through workgroup memory, on a software adapter every thread loads its own.
 */

import {
  bases,
  batchParams,
  buffersOf,
  enablesOf,
  leftOf,
  type Product,
  type Reading,
  rightOf,
  storer,
  widening,
} from "./matmul-product.js";
import { entry, type KernelSource, type ParamType } from "./shader.js";

/** Rows and columns that one thread computes: multiples of 4. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  /** Steps of k that a workgroup loads together. */
  readonly depth: number;
}

const tileParams = ({ split }: Product): Record<string, ParamType> => ({
  ...batchParams,
  tiles_m: "u32",
  tiles_n: "u32",
  ...(split ? { part: "u32" } : {}),
});

/** The matrix `z` that a workgroup works on, that which it writes, `target_z`, and its steps of k. */
const stepsOf = ({ split }: Product): string =>
  split
    ? `  let target_z = group / (p.tiles_m * p.tiles_n);
  let z = 0u;
  let first = target_z * p.part;
  let last = min(first + p.part, p.k);`
    : `  let z = p.z + group / (p.tiles_m * p.tiles_n);
  let target_z = z;
  let first = 0u;
  let last = p.k;`;

/** A function that writes four sums, where they exist. */
const sumsStorer = ({ sums }: Product): string =>
  sums
    ? `
fn store_sums(z: u32, at: u32, value: vec4f) {
  let size = p.${sums === "a" ? "m" : "n"};
  for (var i = 0u; i < min(4u, size - min(at, size)); i++) { sums[z * size + at + i] = value[i]; }
}
`
    : "";

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

/** Numbers 0 … count - 1. */
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

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

/**
 * The statements that load a block into four vectors, `name_0` … `name_3`, as they lie in memory, and the text of its
 * element (outer, step). Places beyond the edge are read at the edge: their results are not stored, and one of the
 * factors of steps beyond k is zero.
 */
function naturalBlock(
  name: string,
  matrix: Reading,
  base: string,
  outer: string,
  extent: string,
  along: boolean,
): { loads: string; element(outer: number, step: number): string } {
  const loads = upTo(4).map((i) => {
    if (!along)
      return `let ${name}_${i} = ${matrix.at(`(${base} + min(${outer} + ${i}u, ${extent} - 1u) * p.k + depth) / 4u`)};`;
    const at = matrix.at(`(${base} + min(depth + ${i}u, p.k - 1u) * ${extent} + ${outer}) / 4u`);
    return `let ${name}_${i} = select(vec4f(), ${at}, depth + ${i}u < p.k);`;
  });
  const element = (r: number, c: number) => (along ? `${name}_${c}[${r}]` : `${name}_${r}[${c}]`);
  return { loads: `      ${loads.join("\n      ")}`, element };
}

/** Threads of a workgroup of `ownSource` in each dim: few, so that small products have work for all processors. */
export const OWN_ACROSS = 4;

/** Every thread of 4 x 4 loads the blocks it needs, four steps of k at a time. */
export function ownSource(product: Product, tile: Tile): KernelSource {
  const [rows, columns] = [OWN_ACROSS * tile.rows, OWN_ACROSS * tile.columns];
  const { transposeA, transposeB, wideA, wideB, sums: summed } = product;
  const lefts = upTo(tile.rows / 4).map((i) => {
    const outer = `(row + ${4 * i}u)`;
    if (wideA) return naturalBlock(`a${i}`, leftOf(product), "a", outer, "p.m", transposeA);
    return {
      loads: `      let a${i} = load_left(a, ${outer}, depth);`,
      element: (r: number, c: number) => `a${i}[${c}][${r}]`,
    };
  });
  const rights = upTo(tile.columns / 4).map((i) => {
    const outer = `(column + ${4 * i}u)`;
    const matrix = { loads: `      let b${i} = load_right(b, ${outer}, depth);`, step: (c: number) => `b${i}[${c}]` };
    if (!wideB) return matrix;
    const { loads } = naturalBlock(`b${i}`, rightOf(product), "b", outer, "p.n", !transposeB);
    if (!transposeB) return { loads, step: (c: number) => `b${i}_${c}` };
    const columnsOf = upTo(4).map((j) => `b${i}_${j}`);
    return { ...matrix, loads: `${loads}\n      let b${i} = transpose(mat4x4f(${columnsOf.join(", ")}));` };
  });
  const sums = upTo(tile.rows).flatMap((r) =>
    rights.map(({ step }, q) => {
      const terms = upTo(4).map((c) => `${lefts[r >> 2].element(r & 3, c)} * ${step(c)}`);
      return `      t${r}_${q} += ${terms.join(" + ")};`;
    }),
  );
  // Rows of a, or columns of b, in vectors of four: their sum over four steps of k.
  const vectors = summed === "a" ? lefts.length : summed === "b" ? rights.length : 0;
  const fourSteps = (i: number): string => {
    if (summed === "b") return upTo(4).map(rights[i].step).join(" + ");
    const step = (c: number) => `vec4f(${upTo(4).map((r) => lefts[i].element(r, c))})`;
    return upTo(4).map(step).join(" + ");
  };
  const summing = summed === "a" ? "column" : "row";
  const ifSumming = (text: (i: number) => string) =>
    vectors > 0 ? `    if (${summing} == 0u) { ${upTo(vectors).map(text).join(" ")} }` : "";
  return {
    name: "matmul",
    buffers: buffersOf(product),
    params: tileParams(product),
    enables: enablesOf(product),
    code: `${bases}${loaders(product)}${storer(product)}${sumsStorer(product)}
${entry(OWN_ACROSS * OWN_ACROSS)}
${stepsOf(product)}
  let row = ((group / p.tiles_n) % p.tiles_m) * ${rows}u + (lane / ${OWN_ACROSS}u) * ${tile.rows}u;
  let column = (group % p.tiles_n) * ${columns}u + (lane % ${OWN_ACROSS}u) * ${tile.columns}u;
  if (row >= p.m || column >= p.n) { return; }
  let a = base_a(z);
  let b = base_b(z);
${declare(tile)}
${upTo(vectors)
  .map((i) => `  var sum${i} = vec4f();`)
  .join("\n")}
  for (var depth = first; depth < last; depth += 4u) {
${[...lefts, ...rights].map(({ loads }) => loads).join("\n")}
${sums.join("\n")}
${ifSumming((i) => `sum${i} += ${fourSteps(i)};`)}
  }
${ifSumming((i) => `store_sums(target_z, ${summed === "a" ? "row" : "column"} + ${4 * i}u, sum${i});`)}
${stores(
  tile,
  (r) => `row + ${r}u`,
  (q) => `column + ${4 * q}u`,
)}
}`,
  };
}
