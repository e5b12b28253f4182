/**
 * Attention for software adapters, where barriers and workgroup memory cost more than they save: a thread takes a few
 * queries (or keys) of its own, keeps their rows in registers, and walks over the rows of the other side alone.
 */

import type { AttentionLayout } from "../../kernels.js";
import type { OnGpu } from "../bindings.js";
import type { Gpu, SoftwareKernels } from "../gpu.js";
import {
  attentionFunctions,
  bufferType,
  isWide,
  layoutNumbers,
  layoutParams,
  reader,
  vectorsOf,
  writer,
} from "../kernels/attention-layout.js";
import type { Piece } from "../pool.js";
import { type BufferSpec, entry, type KernelSource, upTo } from "../shader.js";

type Pass = Parameters<SoftwareKernels["attention"]>[1];

const THREADS = 16;
/** Sums of vectors that a thread adds to for each row it reads, at most: longer texts take too long to compile. */
const SUMS = 64;
/** Vectors of a row that each pass multiplies for each of its own rows. */
const uses: Readonly<Record<Pass, number>> = { forward: 2, dq: 3, dkv: 4 };

/** Longer rows leave a thread no room for two of them. */
export const LONGEST = 64;

/** Rows that a thread has of its own. */
const rowsOf = (pass: Pass, dim: number): number =>
  Math.max(1, Math.min(4, Math.floor(SUMS / (vectorsOf(dim) * uses[pass]))));

/** Launches a pass; operands are those of the kernel that shares tiles. */
export function attention(gpu: Gpu, pass: Pass, operands: readonly (OnGpu | Piece)[], layout: AttentionLayout): void {
  const { batch, heads, kvHeads, queries, keys, dim } = layout;
  const wide = isWide(layout);
  const tiles = Math.ceil((pass === "dkv" ? keys : queries) / rowsOf(pass, dim));
  const threads = batch * (pass === "dkv" ? kvHeads : heads) * tiles;
  const kernel = gpu.kernel(`attention own ${pass} ${dim} ${wide}`, () => sources[pass](dim, wide));
  gpu.run(kernel, operands, [...layoutNumbers(layout, tiles), threads], Math.ceil(threads / THREADS));
}

const sources: Readonly<Record<Pass, (dim: number, wide: boolean) => KernelSource>> = {
  forward: forwardSource,
  dq: querySource,
  dkv: keySource,
};

/** Statements, one for each of the own rows, or for each vector of each. */
const each = (rows: readonly number[], text: (n: number) => string): string => rows.map(text).join("\n");
const eachVector = (rows: readonly number[], dim: number, text: (n: number, x: number) => string): string =>
  each(rows, (n) => each(upTo(vectorsOf(dim)), (x) => text(n, x)));

/** The product of two rows whose vectors are called `a0`, `b0`, … */
const product = (dim: number, a: string, b: string): string =>
  upTo(vectorsOf(dim))
    .map((x) => `dot(${a}${x}, ${b}${x})`)
    .join(" + ");

/** The vectors of a row that starts at `start`. */
const row = (dim: number, name: string, buffer: string, start: string): string =>
  each(upTo(vectorsOf(dim)), (x) => `    let ${name}${x} = ${buffer}_vector(${start}, ${x}u);`);

function source(name: string, buffers: readonly BufferSpec[], dim: number, wide: boolean, code: string): KernelSource {
  // Numbers of a query are read and written by name, not by rows.
  const vectors = buffers.filter((buffer) => buffer.name !== "lse" && buffer.name !== "deltas");
  const functions = [
    ...vectors.filter(({ writes }) => !writes).map((buffer) => reader(buffer.name, dim, wide)),
    ...vectors.filter(({ writes }) => writes).map((buffer) => writer(buffer.name, dim, wide)),
  ];
  return {
    name,
    buffers,
    params: { ...layoutParams(), threads: "u32" },
    code: `${attentionFunctions}${functions.join("")}
${entry(THREADS)}
  if (thread >= p.threads) { return; }
${code}
}`,
  };
}

/** The head, the batch and the queries of a thread. */
const ownQueries = (rows: readonly number[]): string => `  let b = thread / (p.heads * p.tiles);
  let h = (thread / p.tiles) % p.heads;
  let kv = (h * p.kv_heads) / p.heads;
  let first_query = (thread % p.tiles) * ${rows.length}u;
${each(
  rows,
  (n) => `  let query${n} = min(first_query + ${n}u, p.queries - 1u);
  let limit${n} = key_count(query${n});
  let saved${n} = (b * p.heads + h) * p.queries + query${n};`,
)}
  let end = limit${rows.length - 1};`;

function forwardSource(dim: number, wide: boolean): KernelSource {
  const rows = upTo(rowsOf("forward", dim));
  const type = bufferType(wide);
  const buffers = [
    ...["q", "k", "v"].map((name) => ({ name, type })),
    { name: "out", type, writes: true },
    { name: "lse", type: "f32", writes: true },
  ];
  return source(
    "attention",
    buffers,
    dim,
    wide,
    `${ownQueries(rows)}
${each(rows, (n) => row(dim, `q${n}_`, "q", `q_at(b, h, query${n})`))}
${each(rows, (n) => `  var most${n} = -infinity();\n  var total${n} = 0.0;`)}
${eachVector(rows, dim, (n, x) => `  var o${n}_${x} = vec4f();`)}
  for (var key = 0u; key < end; key++) {
    let k_start = k_at(b, kv, key);
    let v_start = v_at(b, kv, key);
${row(dim, "k", "k", "k_start")}
${row(dim, "v", "v", "v_start")}
${each(
  rows,
  (n) => `    let s${n} = select(-infinity(), (${product(dim, `q${n}_`, "k")}) * p.scale, key < limit${n});
    let next${n} = largest(most${n}, s${n});
    let shift${n} = select(next${n}, 0.0, next${n} == -infinity());
    let alpha${n} = exp_non_positive(most${n} - shift${n});
    let weight${n} = exp_non_positive(s${n} - shift${n});
    most${n} = next${n};
    total${n} = total${n} * alpha${n} + weight${n};`,
)}
${eachVector(rows, dim, (n, x) => `    o${n}_${x} = o${n}_${x} * alpha${n} + weight${n} * v${x};`)}
  }
${each(
  rows,
  (n) => `  if (first_query + ${n}u < p.queries) {
    let divisor = select(total${n}, bitcast<f32>(nan_bits), total${n} == 0.0);
    let out_start = out_at(b, h, query${n});
${each(upTo(vectorsOf(dim)), (x) => `    put_out(out_start, ${x}u, o${n}_${x} / divisor);`)}
    lse[saved${n}] = log_of_sum(most${n}, total${n});
  }`,
)}`,
  );
}

function querySource(dim: number, wide: boolean): KernelSource {
  const rows = upTo(rowsOf("dq", dim));
  const type = bufferType(wide);
  const buffers = [
    ...["q", "k", "v", "grads"].map((name) => ({ name, type })),
    { name: "lse", type: "f32" },
    { name: "deltas", type: "f32", writes: true },
    { name: "out", type },
    { name: "dq", type, writes: true },
  ];
  return source(
    "attentionBackward",
    buffers,
    dim,
    wide,
    `${ownQueries(rows)}
${each(
  rows,
  (n) => `${row(dim, `q${n}_`, "q", `q_at(b, h, query${n})`)}
${row(dim, `g${n}_`, "grads", `out_at(b, h, query${n})`)}
${row(dim, `y${n}_`, "out", `out_at(b, h, query${n})`)}
  let delta${n} = ${product(dim, `g${n}_`, `y${n}_`)};
  let lse${n} = lse[saved${n}];`,
)}
${eachVector(rows, dim, (n, x) => `  var o${n}_${x} = vec4f();`)}
  for (var key = 0u; key < end; key++) {
    let k_start = k_at(b, kv, key);
    let v_start = v_at(b, kv, key);
${row(dim, "k", "k", "k_start")}
${row(dim, "v", "v", "v_start")}
${each(
  rows,
  (n) => `    let s${n} = (${product(dim, `q${n}_`, "k")}) * p.scale;
    let d${n} = ${product(dim, `g${n}_`, "v")};
    let weight${n} = select(0.0, exp_non_positive(s${n} - lse${n}) * (d${n} - delta${n}) * p.scale, key < limit${n});`,
)}
${eachVector(rows, dim, (n, x) => `    o${n}_${x} += weight${n} * k${x};`)}
  }
${each(
  rows,
  (n) => `  if (first_query + ${n}u < p.queries) {
    deltas[saved${n}] = delta${n};
    let q_start = q_at(b, h, query${n});
${each(upTo(vectorsOf(dim)), (x) => `    put_dq(q_start, ${x}u, o${n}_${x});`)}
  }`,
)}`,
  );
}

function keySource(dim: number, wide: boolean): KernelSource {
  const rows = upTo(rowsOf("dkv", dim));
  const type = bufferType(wide);
  const buffers = [
    ...["q", "k", "v", "grads"].map((name) => ({ name, type })),
    ...["lse", "deltas"].map((name) => ({ name, type: "f32" })),
    ...["dk", "dv"].map((name) => ({ name, type, writes: true })),
  ];
  return source(
    "attentionBackward",
    buffers,
    dim,
    wide,
    `  let b = thread / (p.kv_heads * p.tiles);
  let kv = (thread / p.tiles) % p.kv_heads;
  let first_key = (thread % p.tiles) * ${rows.length}u;
${each(
  rows,
  (n) => `  let key${n} = min(first_key + ${n}u, p.keys - 1u);
${row(dim, `k${n}_`, "k", `k_at(b, kv, key${n})`)}
${row(dim, `v${n}_`, "v", `v_at(b, kv, key${n})`)}`,
)}
${eachVector(rows, dim, (n, x) => `  var dk${n}_${x} = vec4f();\n  var dv${n}_${x} = vec4f();`)}
  let heads_each = p.heads / p.kv_heads;
  // Under a causal mask, queries before this one see none of these keys.
  let unseen = select(0i, i32(first_key) + i32(p.queries) - i32(p.keys), p.causal == 1u);
  for (var h = kv * heads_each; h < (kv + 1u) * heads_each; h++) {
    for (var query = u32(max(unseen, 0)); query < p.queries; query++) {
      let saved = (b * p.heads + h) * p.queries + query;
      let limit = key_count(query);
      let q_start = q_at(b, h, query);
      let out_start = out_at(b, h, query);
${row(dim, "q", "q", "q_start")}
${row(dim, "g", "grads", "out_start")}
${each(
  rows,
  (n) => `      let s${n} = (${product(dim, "q", `k${n}_`)}) * p.scale;
      let d${n} = ${product(dim, "g", `v${n}_`)};
      let share${n} = select(0.0, exp_non_positive(s${n} - lse[saved]), key${n} < limit);
      let weight${n} = select(0.0, share${n} * (d${n} - deltas[saved]) * p.scale, key${n} < limit);`,
)}
${eachVector(rows, dim, (n, x) => `      dk${n}_${x} += weight${n} * q${x};\n      dv${n}_${x} += share${n} * g${x};`)}
    }
  }
${each(
  rows,
  (n) => `  if (first_key + ${n}u < p.keys) {
    let k_start = k_at(b, kv, key${n});
    let v_start = v_at(b, kv, key${n});
${each(upTo(vectorsOf(dim)), (x) => `    put_dk(k_start, ${x}u, dk${n}_${x});\n    put_dv(v_start, ${x}u, dv${n}_${x});`)}
  }`,
)}`,
  );
}
