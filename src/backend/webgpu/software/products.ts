/**
 * Matrix products on a processor that plays a graphics card. It runs the threads of a subgroup as the lanes of a vector
 * and loads lane by lane, number by number: that is what costs, not arithmetic. So there is no workgroup memory (a
 * barrier saves and restores every thread); a workgroup is four threads side by side along the columns, and where those
 * are a subgroup they share the rows of a: each loads a quarter of them, and hands its numbers to the others. Numbers
 * stand in variables of their own, since four at a time leave the registers between two operations.
 */

import type { Gpu } from "../gpu.js";
import {
  bases,
  buffersOf,
  enablesOf,
  leftOf,
  type Product,
  productKey,
  type Reading,
  rightOf,
  stepsOf,
  sumsStorer,
  type Tiling,
  tileParams,
  widening,
} from "../matmul/product.js";
import { entry, type KernelSource, upTo } from "../shader.js";

/** What a workgroup computes: rows in groups of four, and columns in groups of four for each of its threads. */
interface OwnTile {
  readonly rows: number;
  readonly columns: number;
}

/** Threads of a workgroup. */
const LANES = 4;

/**
 * The larger a tile, the fewer loads for a result, and the longer it takes to compile: minutes, where numbers are read or
 * written one by one.
 */
const small: OwnTile = { rows: 8, columns: 16 };
const large: OwnTile = { rows: 16, columns: 32 };
const ENOUGH_FOR_LARGE = 64 * 128;

export function products(gpu: Gpu, { wideA, wideB, wideOut }: Product, m: number, n: number): Tiling {
  const tile = m * n < ENOUGH_FOR_LARGE || !wideA || !wideB || !wideOut ? small : large;
  const share = gpu.abilities.subgroupSize === LANES;
  const kernelOf = (product: Product) =>
    gpu.kernel(`matmul own ${tile.rows} ${share} ${productKey(product)}`, () => ownSource(product, tile, share));
  return { tiles: [Math.ceil(m / tile.rows), Math.ceil(n / tile.columns)], kernelOf };
}

/** Four elements from `at(0)` on, neighbours in memory; `at` gives the text of the place of each. */
const four = (matrix: Reading, wide: boolean, at: (i: number) => string): string =>
  wide ? matrix.at(`(${at(0)}) >> 2u`) : `vec4f(${upTo(4).map((i) => matrix.at(at(i)))})`;

/** `share`: the threads of a workgroup are a subgroup, in order. */
function ownSource(product: Product, tile: OwnTile, share: boolean): KernelSource {
  const { transposeA, transposeB, wideA, wideB, wholeK, sums } = product;
  const [rowFours, columnFours] = [upTo(tile.rows / 4), upTo(tile.columns / (4 * LANES))];
  /** Nothing counts beyond the last step: neither factor, since one may be infinite there. */
  const step = (value: string, inside: string) => (wholeK > 1 ? value : `select(vec4f(), ${value}, ${inside})`);
  const before: string[] = [];
  const loads: string[] = [];

  // Rows of a, in fours; those beyond the last one repeat it.
  const rowOf = (i: number, r: string) => `min(row + ${4 * i}u + ${r}, p.m - 1u)`;
  for (const i of rowFours) {
    const loaded = share ? [{ name: `a${i}`, of: "lane" }] : upTo(4).map((r) => ({ name: `a${i}_${r}`, of: `${r}u` }));
    for (const { name, of } of loaded) {
      if (transposeA) {
        const place = (r: number) => `a + (depth + ${of}) * p.m + ${wideA ? `row + ${4 * i}u` : rowOf(i, `${r}u`)}`;
        loads.push(`let ${name} = ${step(four(leftOf(product), wideA, place), `depth + ${of} < p.k`)};`);
      } else {
        before.push(`let ${name}_at = a + ${rowOf(i, of)} * p.k;`);
        const place = (c: number) => `${name}_at + depth + ${c}u`;
        loads.push(`let ${name} = ${step(four(leftOf(product), wideA, place), "inside")};`);
      }
    }
  }
  /** The text of row `r` at step `c`. */
  const element = (r: number, c: number): string => {
    const [vector, number] = transposeA ? [c, r & 3] : [r & 3, c];
    const name = `a${r >> 2}`;
    return share ? `subgroupBroadcast(${name}[${number}], ${vector}u)` : `${name}_${vector}[${number}]`;
  };

  // Columns 4 q … of a thread, four steps: by steps as they lie in memory, or by columns.
  for (const q of columnFours) {
    before.push(`let column${q} = column + ${4 * LANES * q}u;`);
    for (const v of upTo(4)) {
      if (transposeB) before.push(`let b${q}_${v}_at = b + (column${q} + ${v}u) * p.k;`);
      const place = (i: number) =>
        transposeB ? `b${q}_${v}_at + depth + ${i}u` : `b + (depth + ${v}u) * p.n + column${q} + ${i}u`;
      const inside = transposeB ? "inside" : `depth + ${v}u < p.k`;
      loads.push(`let b${q}_${v} = ${step(four(rightOf(product), wideB, place), inside)};`);
    }
    for (const j of upTo(4))
      for (const c of upTo(4)) loads.push(`let s${q}_${j}_${c} = b${q}_${transposeB ? `${j}[${c}]` : `${c}[${j}]`};`);
  }

  const products = upTo(tile.rows).flatMap((r) => [
    "{",
    ...upTo(4).map((c) => `let x${c} = ${element(r, c)};`),
    ...columnFours.flatMap((q) =>
      upTo(4).flatMap((j) => upTo(4).map((c) => `t${r}_${q}_${j} += x${c} * s${q}_${j}_${c};`)),
    ),
    ...(sums === "a" ? [`sum${r} += x0 + x1 + x2 + x3;`] : []),
    "}",
  ]);
  if (sums === "b")
    for (const q of columnFours)
      for (const j of upTo(4))
        products.push(
          `sum${q}_${j} += ${upTo(4)
            .map((c) => `s${q}_${j}_${c}`)
            .join(" + ")};`,
        );

  return {
    name: "matmul",
    buffers: buffersOf(product),
    params: tileParams(product),
    enables: [...enablesOf(product), ...(share ? ["subgroups"] : [])],
    code: `${bases}${widening(product)}${sumsStorer(product)}
${entry(LANES)}
${stepsOf(product)}
  let row = ((group / p.tiles_n) % p.tiles_m) * ${tile.rows}u;
  let column = (group % p.tiles_n) * ${tile.columns}u + lane * 4u;
  let a = base_a(z);
  let b = base_b(z);
  ${before.join("\n  ")}
  ${begin(product, tile).join("\n  ")}
  for (var depth = first; depth < last; depth += 4u) {
    ${wholeK > 1 ? "" : "let inside = vec4u(depth, depth + 1u, depth + 2u, depth + 3u) < vec4u(p.k);"}
    ${[...loads, ...products].join("\n    ")}
  }
  ${end(product, tile).join("\n  ")}
}`,
  };
}

/** Where the results of a thread go: guarded by fours; rows beyond the last one repeat it, and its value. */
function places({ wideOut }: Product, { rows, columns }: OwnTile) {
  return upTo(columns / (4 * LANES)).flatMap((q) =>
    upTo(rows / 4).flatMap((i) => {
      const at = (r: number) => `(target_z * p.m + min(row + ${4 * i + r}u, p.m - 1u)) * p.n + column${q}`;
      const names = (r: number) => upTo(4).map((j) => `t${4 * i + r}_${q}_${j}`);
      const row = `row + ${4 * i}u < p.m`;
      if (wideOut)
        return {
          guard: `${row} && column${q} < p.n`,
          bias: `bias[column${q} >> 2u]`,
          cells: upTo(4).map((r) => ({
            place: `result[(${at(r)}) >> 2u]`,
            value: `vec4f(${names(r)})`,
            names: names(r),
          })),
        };
      return upTo(4).map((j) => ({
        guard: `${row} && column${q} + ${j}u < p.n`,
        bias: `bias[column${q} + ${j}u]`,
        cells: upTo(4).map((r) => ({ place: `result[${at(r)} + ${j}u]`, value: names(r)[j], names: [names(r)[j]] })),
      }));
    }),
  );
}

/** Sums begin with what is there, or with nothing. */
function begin(product: Product, tile: OwnTile): string[] {
  const { accumulate, sums } = product;
  const summed =
    sums === "a"
      ? upTo(tile.rows).map((r) => `sum${r}`)
      : sums === "b"
        ? upTo(tile.columns / (4 * LANES)).flatMap((q) => upTo(4).map((j) => `sum${q}_${j}`))
        : [];
  const cells = places(product, tile).flatMap(({ cells }) => cells);
  return [
    ...summed.map((name) => `var ${name} = 0.0;`),
    ...cells.flatMap(({ place, names }) => {
      if (!accumulate) return names.map((name) => `var ${name} = 0.0;`);
      if (names.length === 1) return `var ${names[0]} = ${place};`;
      return [`let ${names[0]}_old = ${place};`, ...names.map((name, j) => `var ${name} = ${names[0]}_old[${j}];`)];
    }),
  ];
}

function end(product: Product, tile: OwnTile): string[] {
  const { bias, sums } = product;
  const stores = places(product, tile).flatMap(({ guard, bias: added, cells }) => [
    `if (${guard}) {`,
    ...(bias ? [`  let added = ${added};`] : []),
    ...cells.map(({ place, value }) => `  ${place} = ${value}${bias ? " + added" : ""};`),
    "}",
  ]);
  if (sums === "") return stores;
  const fours =
    sums === "a"
      ? upTo(tile.rows / 4).map((i) => ({ at: `row + ${4 * i}u`, of: upTo(4).map((r) => `sum${4 * i + r}`) }))
      : upTo(tile.columns / (4 * LANES)).map((q) => ({ at: `column${q}`, of: upTo(4).map((j) => `sum${q}_${j}`) }));
  const summing = sums === "a" ? "column == 0u" : "row == 0u";
  return [
    ...stores,
    `if (${summing}) {`,
    ...fours.map(({ at, of }) => `  store_sums(target_z, ${at}, vec4f(${of}));`),
    "}",
  ];
}
