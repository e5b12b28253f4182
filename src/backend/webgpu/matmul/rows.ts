/** Products of a few rows with a matrix (a cached decode): the matrix is read once, by as many threads as possible. */

import { entry, type KernelSource, type Prologue, upTo } from "../shader.js";
import {
  batchParams,
  buffersOf,
  enablesOf,
  leftOf,
  type Product,
  type Reading,
  rightOf,
  store,
  storer,
  widening,
} from "./product.js";

/** Rows of a that this kernel takes. */
export const MOST_ROWS = 4;
/** As many threads as the largest cards keep under way. */
const ENOUGH_THREADS = 2 ** 18;
/** Below this many columns, workgroups take half of them, so that there are more workgroups. */
const FEW_COLUMNS = 1536;

/**
 * How a workgroup shares its work: threads side by side have four columns each, and every `slices`th step of k. Slices are
 * a power of two, 16 or more on a card, so that their sums are made of eight equal parts; `across * slices` threads are at
 * least 64, and may be fewer than the parts of all rows.
 */
export interface RowsTile {
  readonly rows: number;
  readonly across: number;
  readonly slices: number;
  /** Elements of k in a step: of a column in one load of 16 bytes, where k lies along memory. */
  readonly step: 1 | 4 | 8;
  /** Steps whose loads are under way at once. */
  readonly ahead: number;
  /** There are several matrices. */
  readonly stacked: boolean;
}

/**
 * Bandwidth is bytes under way, divided by the time that each takes: a card needs megabytes of them. A thread therefore
 * asks for up to 256 bytes before it waits. Columns that lie apart in memory have a workgroup for each four; where they are
 * neighbours, a row of it reads at least 32 bytes in one place.
 */
export function rowsTile(
  software: boolean,
  product: Product,
  rows: number,
  n: number,
  k: number,
  count: number,
): RowsTile {
  const { transposeA, transposeB, wideA, right } = product;
  const stacked = count > 1;
  const step = transposeA || !wideA ? 1 : transposeB && right !== "float32" && k % 8 === 0 ? 8 : 4;
  // A software adapter has few threads to share anything: each makes its columns alone, without workgroup memory.
  if (software) return { rows, across: 64, slices: 1, step, ahead: 1, stacked };
  const across = transposeB ? 1 : n < FEW_COLUMNS && right === "float32" ? 2 : 4;
  const wanted = Math.min(ENOUGH_THREADS / ((n / 4) * count), k / step, 256 / across);
  const slices = 2 ** (31 - Math.clz32(Math.max(wanted, 64 / across))); // a power of two, rounded down
  // In as few rounds as registers allow, and alike.
  const steps = Math.ceil(k / step / slices);
  const ahead = Math.ceil(steps / Math.ceil(steps / (rows <= 2 ? 4 : 2)));
  return { rows, across, slices, step, ahead, stacked };
}

export const threadsOf = ({ across, slices }: RowsTile): number => across * slices;

/** Columns of the result that a workgroup makes. */
export const columnsOf = ({ across }: RowsTile): number => across * 4;

export const keyOf = (tile: RowsTile): string => Object.values(tile).join();

/** Four numbers of the row that a prologue leaves in workgroup memory, which WGSL lets threads write one by one only. */
const firstRow = ({ size }: Prologue) => `
var<workgroup> first_row: array<f32, ${size}>;
fn first_four(i: u32) -> vec4f { return vec4f(${upTo(4)
  .map((j) => `first_row[i * 4u + ${j}u]`)
  .join(", ")}); }
`;

/** Every thread sums its steps, then the parts of each column are added in a fixed order. */
export function rowsSource(product: Product, tile: RowsTile): KernelSource {
  const { across, slices, step, ahead, stacked } = tile;
  const { transposeA, transposeB, wideB, wideOut, bias, prologue } = product;
  const alone = slices === 1;
  const threads = threadsOf(tile);
  const all = upTo(tile.rows);
  const left = prologue ? { at: (index: string) => `first_four(${index})` } : leftOf(product);
  const right = step === 8 ? { type: "vec4u", at: (index: string) => `right[${index}]` } : rightOf(product);
  const four = upTo(4);
  const halves = upTo(step / 4);
  /** One element of a matrix that is bound by vectors, or not. */
  const elementOf = (wide: boolean, of: Pick<Reading, "at">, at: string) =>
    wide ? `${of.at(`(${at}) / 4u`)}[(${at}) % 4u]` : of.at(at);
  const columnOf = (i: number) => (wideOut ? `(column + ${i}u)` : `min(column + ${i}u, p.n - 1u)`);
  /** Four columns at one step. */
  const columnsAt = (k: string) =>
    transposeB
      ? `vec4f(${four.map((i) => elementOf(wideB, right, `b + ${columnOf(i)} * p.k + ${k}`)).join(", ")})`
      : wideB
        ? right.at(`(b + (${k}) * p.n + column) / 4u`)
        : `vec4f(${four.map((i) => right.at(`b + (${k}) * p.n + ${columnOf(i)}`)).join(", ")})`;
  /** What a thread loads for the step at `k`, of b and of a: names end in the number of the step. */
  const loadsOfB = (u: number): string[] => {
    const k = `k${u}`;
    if (step === 1) return [`let b_${u} = ${columnsAt(k)};`];
    return four.map((i) => {
      const value = transposeB ? right.at(`(b + ${columnOf(i)} * p.k + ${k}) / ${step}u`) : columnsAt(`${k} + ${i}u`);
      return `let b${i}_${u} = ${value};`;
    });
  };
  const loadsOfA = (u: number): string[] => {
    const k = `k${u}`;
    const element = (r: number) => (transposeA ? `a + ${k} * p.m + ${r}u` : `a + ${r}u * p.k + ${k}`);
    if (step === 1) return all.map((r) => `let a${r}_${u} = ${elementOf(product.wideA, left, element(r))};`);
    return all.flatMap((r) =>
      halves.map((h) => `let a${r}_${h}_${u} = ${left.at(`(a + ${r}u * p.k + ${k}) / 4u + ${h}u`)};`),
    );
  };
  const termsOf = (u: number, r: number): string[] => {
    if (step === 1) return [`a${r}_${u} * b_${u}`];
    if (!transposeB) return four.map((i) => `a${r}_0_${u}[${i}] * b${i}_${u}`);
    const along = (i: number, h: number) =>
      step === 4 ? `b${i}_${u}` : `widen_four_${product.right}(b${i}_${u}.${h === 0 ? "xy" : "zw"})`;
    return halves.map((h) => `vec4f(${four.map((i) => `dot(a${r}_${h}_${u}, ${along(i, h)})`).join(", ")})`);
  };
  // The bias is where the sums begin.
  const target = { ...product, bias: false };
  const stride = slices * step;
  /** A thread has one round of steps, known to all: then what it needs of b is on its way while a prologue makes a. */
  const once = prologue !== undefined && prologue.size <= stride * ahead;
  // No branch: compilers would move the loads of a step into it, behind the wait for those of the step before.
  const add = (u: number, r: number) =>
    u === 0 && !once
      ? termsOf(u, r).map((term) => `t${r} += ${term};`)
      : [`t${r} = select(t${r}, t${r} + ${termsOf(u, r).join(" + ")}, k0 + ${u * stride}u < p.k);`];
  const steps = upTo(ahead);
  // The bias is loaded with the first step: at the end it would be a wait of its own.
  const biases = wideOut ? "bias[column / 4u]" : `vec4f(${four.map((i) => `bias[${columnOf(i)}]`).join(", ")})`;
  const start = bias && !alone ? [`let start = select(vec4f(), ${biases}, k0 == 0u);`] : [];
  const places = steps.slice(1).map((u) => `let k${u} = min(k0 + ${u * stride}u, p.k - ${step}u);`);
  const sums = [
    ...steps.flatMap((u) => all.flatMap((r) => add(u, r))),
    ...(start.length > 0 ? all.map((r) => `t${r} += start;`) : []),
  ];
  const indented = (lines: readonly string[], by: string) => lines.map((line) => by + line).join("\n");
  const round = [...places, ...steps.flatMap((u) => [...loadsOfB(u), ...loadsOfA(u)]), ...start, ...sums];
  const rounds = `  if (column < p.n) {
    for (var k0 = slice * ${step}u; k0 < p.k; k0 += ${stride * ahead}u) {
${indented(round, "      ")}
    }
  }`;
  const first = [`let k0 = slice * ${step}u;`, ...places, ...steps.flatMap(loadsOfB), ...start];
  const main = !prologue
    ? rounds
    : once
      ? `${indented(first, "  ")}\n${prologue.code}\n${indented([...steps.flatMap(loadsOfA), ...sums], "  ")}`
      : `${prologue.code}\n${rounds}`;
  // Each eighth part of a column's slices, then those eight; the smallest workgroups have fewer threads than such parts.
  const addSlices = `${all.map((r) => `  parts[${r * threads}u + lane] = t${r};`).join("\n")}
  workgroupBarrier();
  for (var i = lane; i < ${8 * across * tile.rows}u; i += ${threads}u) {
    let at = i / ${8 * across}u * ${threads}u + i % ${8 * across}u;
    var part = parts[at];
    for (var s = 1u; s < ${slices / 8}u; s++) { part += parts[at + s * ${8 * across}u]; }
    parts[at] = part;
  }
  workgroupBarrier();
  if (lane >= ${across * tile.rows}u) { return; }
  let row = lane / ${across}u;
  var total = parts[row * ${threads}u + lane % ${across}u];
  for (var s = 1u; s < 8u; s++) { total += parts[row * ${threads}u + s * ${across}u + lane % ${across}u]; }
${store(target, "z", [{ row: "row", column: "column", value: "total" }])}`;
  const [whole, z] = stacked ? ["group % p.groups", "p.z + group / p.groups"] : ["group", "p.z"];
  const matrix = (name: string, size: string) =>
    stacked ? `(p.${name}_first + (z / p.${name}_run) % p.${name}_count) * ${size}` : `p.${name}_first * ${size}`;
  return {
    name: "matmul rows",
    buffers: buffersOf(product).map((buffer) => (buffer.name === "right" ? { ...buffer, type: right.type } : buffer)),
    params: { ...prologue?.params, ...batchParams, groups: "u32", ...product.epilogue?.params },
    ...(prologue && { across: prologue.across, threads, combined: prologue.threads }),
    enables: enablesOf(product),
    code: `${widening(product)}${storer(target)}${prologue ? firstRow(prologue) : ""}
${alone ? "" : `var<workgroup> parts: array<vec4f, ${threads * tile.rows}>;`}
${entry(threads)}
  let z = ${z};
  let a = ${prologue ? "0u" : matrix("a", "p.m * p.k")};
  let b = ${matrix("b", "p.k * p.n")};
  let column = (${whole}) * ${columnsOf(tile)}u + lane % ${across}u * 4u;
  let slice = lane / ${across}u;
${all.map((r) => `  var t${r} = ${bias && alone ? biases : "vec4f()"};`).join("\n")}
${main}
${
  alone
    ? store(
        target,
        "z",
        all.map((r) => ({ row: `${r}u`, column: "column", value: `t${r}` })),
      )
    : addSlices
}
}`,
  };
}
