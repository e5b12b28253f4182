/**
 * Products of float16 matrices by subgroup matrices ("tensor cores"; an experiment of Chromium and Dawn). The threads of
 * a subgroup hold a small matrix together, a fragment, and multiply two of them by one instruction; sums are float32.
 * A workgroup moves blocks of a and b through workgroup memory, as the kernel of `tiles.ts` does.
 */

import type { FragmentSize } from "../adapter.js";
import { entry, type KernelSource, upTo } from "../shader.js";
import { bases, buffersOf, type Product, stepsOf, store, storer, tileParams } from "./product.js";

/** Results of a workgroup, which is four subgroups, two by two: multiples of 64. */
export interface FragmentTile {
  readonly rows: number;
  readonly columns: number;
}

export const SUBGROUPS = 4;
/** Steps of k that a workgroup loads together. */
const DEPTH = 32;
/** Elements left free between two lines of a block, so that neighbours lie in other banks of workgroup memory. */
const GAP = 8;

/** A block in workgroup memory lies as in its matrix: `lines` of `length` neighbours, in vectors of four. */
interface Block {
  readonly lines: number;
  readonly length: number;
  /** Vectors from one line to the next. */
  readonly stride: number;
}

/** `along`: neighbours in memory are those of the outer dim; else they are steps of k. */
function blockOf(outer: number, along: boolean): Block {
  const [lines, length] = along ? [DEPTH, outer] : [outer, DEPTH];
  return { lines, length, stride: (length + GAP) / 4 };
}

/** Bytes of workgroup memory that a tile takes. */
export function fragmentMemory(
  { transposeA, transposeB }: Product,
  { M, N }: FragmentSize,
  tile: FragmentTile,
): number {
  const blocks = [blockOf(tile.rows, transposeA), blockOf(tile.columns, !transposeB)];
  return 8 * blocks.reduce((sum, { lines, stride }) => sum + lines * stride, 0) + 4 * SUBGROUPS * M * N;
}

/** Text that brings a block of "left" or "right" to workgroup memory; zeros beyond the edges of the matrix. */
function load(
  matrix: "left" | "right",
  { lines, length, stride }: Block,
  along: boolean,
  wide: boolean,
  threads: number,
) {
  const [base, outer, size] = matrix === "left" ? ["a", "row", "p.m"] : ["b", "column", "p.n"];
  const [firstLine, allLines, first, all] = along ? ["depth", "p.k", outer, size] : [outer, size, "depth", "p.k"];
  const fours = length / 4;
  const place = (i: number) => `${base} + line * ${all} + at + ${i}u`;
  // Without a branch for each element: reads beyond the edge stay inside the buffer and count as zero.
  const element = (i: number) => `select(0.0h, ${matrix}[${place(i)}], at + ${i}u < ${all})`;
  return `
    for (var i = lane; i < ${lines * fours}u; i += ${threads}u) {
      let line = ${firstLine} + i / ${fours}u;
      let at = ${first} + (i % ${fours}u) * 4u;
      var four = vec4<f16>();
      if (line < ${allLines}${wide ? ` && at < ${all}` : ""}) {
        four = ${wide ? `${matrix}[(${place(0)}) / 4u]` : `vec4<f16>(${upTo(4).map(element).join(", ")})`};
      }
      ${matrix}s[(i / ${fours}u) * ${stride}u + i % ${fours}u] = four;
    }`;
}

/** Text of a fragment at `outer` and at `step` of k of a block, both in elements. */
function fragment(type: string, { stride }: Block, along: boolean, columns: boolean, outer: string): string {
  const buffer = type.slice(0, type.indexOf("<"));
  const place = along ? `step * ${stride}u + (${outer}) / 4u` : `(${outer}) * ${stride}u + step / 4u`;
  return `subgroupMatrixLoad<subgroup_matrix_${type}, ${columns ? "col_major" : "row_major"}>(&${buffer}s, ${place}, ${stride}u)`;
}

/** The kernel of a device whose fragments and subgroups have these sizes. */
export function fragmentSource(
  product: Product,
  { M, N, K }: FragmentSize,
  tile: FragmentTile,
  subgroupSize: number,
): KernelSource {
  const { transposeA, transposeB, wideA, wideB } = product;
  const threads = SUBGROUPS * subgroupSize;
  const [ownRows, ownColumns] = [tile.rows / 2, tile.columns / 2];
  const [down, across] = [upTo(ownRows / M), upTo(ownColumns / N)];
  const pairs = down.flatMap((r) => across.map((c) => [r, c] as const));
  const lefts = blockOf(tile.rows, transposeA);
  const rights = blockOf(tile.columns, !transposeB);
  const left = (r: number) => fragment(`left<f16, ${K}, ${M}>`, lefts, transposeA, transposeA, `own_row + ${r * M}u`);
  const right = (c: number) =>
    fragment(`right<f16, ${N}, ${K}>`, rights, !transposeB, transposeB, `own_column + ${c * N}u`);
  // Results leave by way of workgroup memory, a fragment of each subgroup at a time: every thread writes vectors then.
  const fours = (M * N) / 4;
  const stores = pairs.map(
    ([r, c]) => `  subgroupMatrixStore<row_major>(&results, subgroup * ${fours}u, t${r}_${c}, ${N / 4}u);
  workgroupBarrier();
  for (var i = lane; i < ${SUBGROUPS * fours}u; i += ${threads}u) {
    let holder = i / ${fours}u;
    let to_row = row + (holder / 2u) * ${ownRows}u + ${r * M}u + (i % ${fours}u) / ${N / 4}u;
    let to_column = column + (holder % 2u) * ${ownColumns}u + ${c * N}u + (i % ${N / 4}u) * 4u;
  ${store(product, "target_z", [{ row: "to_row", column: "to_column", value: "results[i]" }])}
  }
  workgroupBarrier();`,
  );
  const types: Record<string, string> = { left: wideA ? "vec4<f16>" : "f16", right: wideB ? "vec4<f16>" : "f16" };
  return {
    name: "matmul",
    buffers: buffersOf(product).map((buffer) => ({ ...buffer, type: types[buffer.name] ?? buffer.type })),
    params: tileParams(product),
    enables: ["f16", "subgroups", "chromium_experimental_subgroup_matrix"],
    code: `${bases}${storer(product)}
var<workgroup> lefts: array<vec4<f16>, ${lefts.lines * lefts.stride}>;
var<workgroup> rights: array<vec4<f16>, ${rights.lines * rights.stride}>;
var<workgroup> results: array<vec4f, ${SUBGROUPS * fours}>;
@diagnostic(off, chromium.subgroup_matrix_uniformity)
${entry(threads, "@builtin(subgroup_id) subgroup: u32,")}
${stepsOf(product)}
  let row = ((group / p.tiles_n) % p.tiles_m) * ${tile.rows}u;
  let column = (group % p.tiles_n) * ${tile.columns}u;
  let own_row = (subgroup / 2u) * ${ownRows}u;
  let own_column = (subgroup % 2u) * ${ownColumns}u;
  let a = base_a(z);
  let b = base_b(z);
${pairs.map(([r, c]) => `  var t${r}_${c} = subgroup_matrix_result<f32, ${N}, ${M}>();`).join("\n")}
  for (var depth = first; depth < last; depth += ${DEPTH}u) {${load("left", lefts, transposeA, wideA, threads)}${load("right", rights, !transposeB, wideB, threads)}
    workgroupBarrier();
    for (var step = 0u; step < ${DEPTH}u; step += ${K}u) {
${down.map((r) => `      let a${r} = ${left(r)};`).join("\n")}
${across.map((c) => `      let b${c} = ${right(c)};`).join("\n")}
${pairs.map(([r, c]) => `      t${r}_${c} = subgroupMatrixMultiplyAccumulate(a${r}, b${c}, t${r}_${c});`).join("\n")}
    }
    workgroupBarrier();
  }
${stores.join("\n")}
}`,
  };
}
