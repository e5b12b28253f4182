/** Products of a few rows with a matrix (a cached decode): the matrix is read once, by as many threads as possible. */

import { entry, type KernelSource, upTo } from "../shader.js";
import {
  bases,
  batchParams,
  buffersOf,
  enablesOf,
  leftOf,
  type Product,
  rightOf,
  store,
  storer,
  widening,
} from "./product.js";

/** Rows of a that this kernel takes. */
export const MOST_ROWS = 4;

/** Columns of the result that a workgroup makes: four for each four threads of a slice. */
export const columnsOf = (slices: number): number => (slices === 1 ? 256 : 16);

/**
 * A workgroup makes 16 columns: a thread takes four columns of every `slices`th step of k (or step of four, where k lies
 * along memory); then the parts of each are added in order. With one slice (for software adapters) every thread makes
 * four columns alone, and needs no workgroup memory.
 */
export function rowsSource(product: Product, rows: number, slices: number): KernelSource {
  const alone = slices === 1;
  const threads = alone ? 64 : 4 * slices;
  const along = 4 * slices; // elements of k that all slices take at once
  const all = upTo(rows);
  const { transposeA, transposeB, wideA, wideB } = product;
  const [whole, right] = [leftOf(product), rightOf(product)];
  const left = (r: number, k: string) => {
    const at = transposeA ? `a + (${k}) * p.m + ${r}u` : `a + ${r}u * p.k + ${k}`;
    return wideA ? `${whole.at(`(${at}) / 4u`)}[(${at}) % 4u]` : whole.at(at);
  };
  const columnsAt = (k: string) =>
    wideB
      ? right.at(`(b + (${k}) * p.n + column) / 4u`)
      : `vec4f(${[0, 1, 2, 3].map((i) => right.at(`b + (${k}) * p.n + min(column + ${i}u, p.n - 1u)`)).join(", ")})`;
  // Where k lies along memory, each of the four columns is read in vectors along k.
  const dots = [0, 1, 2, 3].map((i) => {
    const place = `b + min(column + ${i}u, p.n - 1u) * p.k + k`;
    return wideB ? `    let b${i} = ${right.at(`(${place}) / 4u`)};` : `    let b${i} = ${right.at(place)};`;
  });
  const leftVector = (r: number) =>
    wideA && !transposeA
      ? whole.at(`(a + ${r}u * p.k + k) / 4u`)
      : `vec4f(${[0, 1, 2, 3].map((i) => left(r, `k + ${i}u`)).join(", ")})`;
  const inner = !transposeB
    ? `  for (var k = slice; k < p.k; k += ${slices}u) {
    let b0 = ${columnsAt("k")};
${all.map((r) => `    t${r} += ${left(r, "k")} * b0;`).join("\n")}
  }`
    : wideB
      ? `  for (var k = slice * 4u; k < p.k; k += ${along}u) {
${dots.join("\n")}
${all.map((r) => `    let a${r} = ${leftVector(r)};\n    t${r} += vec4f(dot(a${r}, b0), dot(a${r}, b1), dot(a${r}, b2), dot(a${r}, b3));`).join("\n")}
  }`
      : `  for (var k = slice; k < p.k; k += ${slices}u) {
${dots.join("\n")}
${all.map((r) => `    t${r} += ${left(r, "k")} * vec4f(b0, b1, b2, b3);`).join("\n")}
  }`;
  const addSlices = `${all.map((r) => `  parts[${r}u * ${threads}u + lane] = t${r};`).join("\n")}
  workgroupBarrier();
  if (lane >= ${4 * rows}u) { return; }
  let row = lane / 4u;
  var total = vec4f();
  for (var s = 0u; s < ${slices}u; s++) { total += parts[row * ${threads}u + s * 4u + lane % 4u]; }
${store(product, "z", [{ row: "row", column: "column", value: "total" }])}`;
  return {
    name: "matmul rows",
    buffers: buffersOf(product),
    params: { ...batchParams, groups: "u32", ...product.epilogue?.params },
    enables: enablesOf(product),
    code: `${bases}${widening(product)}${storer(product)}
${alone ? "" : `var<workgroup> parts: array<vec4f, ${threads * rows}>;`}
${entry(threads)}
  let z = p.z + group / p.groups;
  let a = base_a(z);
  let b = base_b(z);
  let column = (group % p.groups) * ${columnsOf(slices)}u + (lane % ${alone ? 64 : 4}u) * 4u;
  let slice = lane / ${alone ? 64 : 4}u;
${all.map((r) => `  var t${r} = vec4f();`).join("\n")}
  if (column < p.n) {
${inner}
  }
${
  alone
    ? store(
        product,
        "z",
        all.map((r) => ({ row: `${r}u`, column: "column", value: `t${r}` })),
      )
    : addSlices
}
}`,
  };
}
