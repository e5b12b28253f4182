/**
 * Products of float16 matrices by subgroup matrices ("tensor cores"; an experiment of Chromium and Dawn). The threads of
 * a subgroup hold a small matrix together, a fragment, and multiply two of them by one instruction; sums are float32.
 * A workgroup moves blocks of a and b through workgroup memory, as the kernel of `tiles.ts` does.
 */

import type { FragmentSize } from "../adapter.js";
import type { FragmentKernels } from "../gpu.js";
import { entry, type KernelSource, upTo } from "../shader.js";
import { blocksOf } from "./blocks.js";
import {
  bases,
  buffersOf,
  ENOUGH_TILES,
  type Product,
  productKey,
  stepsOf,
  store,
  storer,
  tileParams,
} from "./product.js";

/** Rows, and columns, of a workgroup, which is four subgroups, two by two. */
export type FragmentTile = 64 | 128;

const SUBGROUPS = 4;
/** Steps of k that a workgroup loads together. */
const DEPTH = 32;
/**
 * Vectors of four from one line of workgroup memory to the next. A line is a row of a, or a column of b: both lie along
 * k, as fragments are loaded fastest. Two vectors stay free, so that neighbours lie in other banks.
 */
const LINE = DEPTH / 4 + 2;

/** Bytes of workgroup memory that a tile takes. */
export const fragmentMemory = ({ M, N }: FragmentSize, tile: FragmentTile): number =>
  8 * 2 * tile * LINE + 4 * SUBGROUPS * M * N;

/** Whether every thread can load as many blocks of a and b as the others. */
const sharesBlocks = (tile: FragmentTile, { threads }: SubgroupSize): boolean =>
  ((tile * DEPTH) / 16) % (SUBGROUPS * threads) === 0;

/** Subgroups of so many threads; `asked` for where a device has others too. */
export interface SubgroupSize {
  readonly threads: number;
  readonly asked: boolean;
}

/** Products of two matrices of float16 by fragments of such a size, where subgroups are fit for them. */
export const fragmentKernels = (fragments: FragmentSize): FragmentKernels => ({
  size: fragments,
  products(gpu, product, m, n, count) {
    const { subgroupSize, smallestSubgroup, sharedBytes, threads } = gpu.abilities;
    const subgroup = { threads: subgroupSize ?? smallestSubgroup ?? 0, asked: subgroupSize === undefined };
    const halves = product.f16 && product.left === "float16" && product.right === "float16";
    if (!subgroup.threads || SUBGROUPS * subgroup.threads > threads || !halves || product.sums) return;
    const along = (tile: FragmentTile) => [Math.ceil(m / tile), Math.ceil(n / tile)] as const;
    const tile = ([128, 64] as const).find((tile) => {
      const enough = tile === 64 || along(tile)[0] * along(tile)[1] * count >= ENOUGH_TILES;
      return enough && sharesBlocks(tile, subgroup) && fragmentMemory(fragments, tile) <= sharedBytes;
    });
    if (!tile) return;
    const kernelOf = (product: Product) =>
      gpu.kernel(`matmul fragments ${tile} ${productKey(product)}`, () =>
        fragmentSource(product, fragments, tile, subgroup),
      );
    return { tiles: along(tile), kernelOf };
  },
});

/** The kernel of a device whose fragments and subgroups have these sizes. */
export function fragmentSource(
  product: Product,
  { M, N, K }: FragmentSize,
  tile: FragmentTile,
  subgroup: SubgroupSize,
): KernelSource {
  const threads = SUBGROUPS * subgroup.threads;
  const own = tile / 2;
  const [down, across] = [upTo(own / M), upTo(own / N)];
  const pairs = down.flatMap((r) => across.map((c) => [r, c] as const));

  // Every thread loads as many blocks of a as of b: eight neighbours along k, then the next rows or columns.
  const steps = DEPTH / 4;
  const blocks = upTo(((tile / 4) * steps) / threads);
  const vectors = (of: string, i: number) => upTo(4).map((v) => `${of}_${i}_${v}`);
  const factors = [
    { of: "left", from: "row", blocks: blocksOf(product, "left") },
    { of: "right", from: "column", blocks: blocksOf(product, "right") },
  ];
  const all = factors.flatMap((factor) => blocks.map((i) => ({ ...factor, i, names: vectors(factor.of, i) })));
  const outer = (i: number) => `(lane / ${steps}u + ${(i * threads) / steps}u) * 4u`;
  const fetch = (depth: string) =>
    all
      .flatMap(({ from, blocks, i, names }) =>
        names.map((name, v) => `    ${name} = ${blocks.read(v, `(${from} + ${outer(i)})`, `${depth} + step`)};`),
      )
      .join("\n");
  const whole = product.wholeK === DEPTH;
  const keep = all.map(
    ({ of, blocks, i, names }) => `    {
      let block = ${blocks.byLines(names)};
      let at = ${outer(i)} * ${LINE}u + step / 4u;
${upTo(4)
  .map(
    (r) => `      ${of}s[at + ${r * LINE}u] = ${whole ? `block[${r}]` : `select(vec4<f16>(), block[${r}], inside)`};`,
  )
  .join("\n")}
    }`,
  );

  const fragment = (type: string, order: string, of: string, line: string, step: number) =>
    `subgroupMatrixLoad<subgroup_matrix_${type}, ${order}>(&${of}s, (${line}) * ${LINE}u + ${step / 4}u, ${LINE}u)`;
  // Fragments of b stay while those of a come one after the other: registers hold the fewest at once.
  const multiply = upTo(DEPTH / K).map(
    (i) => `    {
${across.map((c) => `      let b${c} = ${fragment(`right<f16, ${N}, ${K}>`, "col_major", "right", `own_column + ${c * N}u`, i * K)};`).join("\n")}
${down
  .map(
    (r) => `      let a${r} = ${fragment(`left<f16, ${K}, ${M}>`, "row_major", "left", `own_row + ${r * M}u`, i * K)};
${across.map((c) => `      t${r}_${c} = subgroupMatrixMultiplyAccumulate(a${r}, b${c}, t${r}_${c});`).join("\n")}`,
  )
  .join("\n")}
    }`,
  );

  // Results leave by way of workgroup memory, a fragment of each subgroup at a time: every thread writes vectors then.
  const fours = (M * N) / 4;
  const stores = pairs.map(
    ([r, c]) => `  subgroupMatrixStore<row_major>(&results, subgroup * ${fours}u, t${r}_${c}, ${N / 4}u);
  workgroupBarrier();
  for (var i = lane; i < ${SUBGROUPS * fours}u; i += ${threads}u) {
    let holder = i / ${fours}u;
    let to_row = row + (holder / 2u) * ${own}u + ${r * M}u + (i % ${fours}u) / ${N / 4}u;
    let to_column = column + (holder % 2u) * ${own}u + ${c * N}u + (i % ${N / 4}u) * 4u;
  ${store(product, "target_z", [{ row: "to_row", column: "to_column", value: "results[i]" }])}
  }
  workgroupBarrier();`,
  );
  return {
    name: "matmul",
    buffers: buffersOf(product),
    params: tileParams(product),
    enables: [
      ...["f16", "subgroups", "chromium_experimental_subgroup_matrix"],
      ...(subgroup.asked ? ["subgroup_size_control"] : []),
    ],
    code: `${bases}${storer(product)}
var<workgroup> lefts: array<vec4<f16>, ${tile * LINE}>;
var<workgroup> rights: array<vec4<f16>, ${tile * LINE}>;
var<workgroup> results: array<vec4f, ${SUBGROUPS * fours}>;
@diagnostic(off, chromium.subgroup_matrix_uniformity)
${subgroup.asked ? `@subgroup_size(${subgroup.threads})` : ""}
${entry(threads, "@builtin(subgroup_id) subgroup: u32,")}
${stepsOf(product)}
  let row = ((group / p.tiles_n) % p.tiles_m) * ${tile}u;
  let column = (group % p.tiles_n) * ${tile}u;
  let own_row = (subgroup / 2u) * ${own}u;
  let own_column = (subgroup % 2u) * ${own}u;
  let a = base_a(z);
  let b = base_b(z);
  let step = lane % ${steps}u * 4u;
${all.flatMap(({ blocks, names }) => names.map((name) => `  var ${name}: ${blocks.raw};`)).join("\n")}
${pairs.map(([r, c]) => `  var t${r}_${c} = subgroup_matrix_result<f32, ${N}, ${M}>();`).join("\n")}
${fetch("first")}
  for (var depth = first; depth < last; depth += ${DEPTH}u) {
${whole ? "" : "    let inside = vec4u(depth + step) + vec4u(0, 1, 2, 3) < vec4u(p.k);"}
${keep.join("\n")}
    workgroupBarrier();
    let following = depth + ${DEPTH}u;
    if (following < last) {
${fetch("following")}
    }
${multiply.join("\n")}
    workgroupBarrier();
  }
${stores.join("\n")}
}`,
  };
}
