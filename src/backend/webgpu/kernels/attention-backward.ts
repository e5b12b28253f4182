/**
 * Gradients of attention. The probabilities are computed again from lse (Dao et al. 2022). One kernel walks over keys
 * for each tile of queries and gives dQ, another over queries for each tile of keys and gives dK and dV: no two
 * workgroups write to one place, so nothing depends on their order.
 */

import type { AttentionLayout, Operand } from "../../kernels.js";
import type { Gpu } from "../gpu.js";
import { entry, type KernelSource } from "../shader.js";
import { checkDim, ownAttention } from "./attention.js";
import {
  attentionFunctions,
  bufferType,
  isWide,
  layoutNumbers,
  layoutParams,
  reader,
  writer,
} from "./attention-layout.js";
import { COLUMNS, rowsOf, Tiles, tileRows } from "./attention-tiles.js";

export function attentionBackward(
  gpu: Gpu,
  q: Operand,
  k: Operand,
  v: Operand,
  output: Operand,
  lse: Operand,
  grad: Operand,
  dQ: Operand,
  dK: Operand,
  dV: Operand,
  layout: AttentionLayout,
): void {
  const { batch, heads, kvHeads, queries, keys, dim } = layout;
  checkDim(dim);
  const wide = isWide(layout);
  const rows = batch * heads * queries;
  const deltas = gpu.temporary(Math.max(4, rows * 4));
  const saved = [q, k, v, grad, lse, deltas];
  const own = ownAttention(gpu, layout);
  if (own) {
    own(gpu, "dq", [...saved, output, dQ], layout);
    own(gpu, "dkv", [...saved, dK, dV], layout);
    gpu.pool.release(deltas);
    return;
  }
  const { software } = gpu;
  const queryTiles = Math.ceil(queries / tileRows(dim, 1, software));
  const queryKernel = gpu.kernel(`attention dq ${dim} ${wide}`, () =>
    querySource(new Tiles(dim, 1, software), dim, wide),
  );
  gpu.run(queryKernel, [...saved, output, dQ], layoutNumbers(layout, queryTiles), batch * heads * queryTiles);
  const keyTiles = Math.ceil(keys / tileRows(dim, 2, software));
  const keyKernel = gpu.kernel(`attention dkv ${dim} ${wide}`, () => keySource(new Tiles(dim, 2, software), dim, wide));
  gpu.run(keyKernel, [...saved, dK, dV], layoutNumbers(layout, keyTiles), batch * kvHeads * keyTiles);
  gpu.pool.release(deltas);
}

const savedBuffers = (type: string) => [
  ...["q", "k", "v", "grads"].map((name) => ({ name, type })),
  { name: "lse", type: "f32" },
];

const readers = (dim: number, wide: boolean) =>
  ["q", "k", "v", "grads"].map((buffer) => reader(buffer, dim, wide)).join("");

/** delta = sum over d of dO * O, kept for the other kernel; dq = sum over keys of ds * k, ds = p * (dp - delta) * scale. */
function querySource(tiles: Tiles, dim: number, wide: boolean): KernelSource {
  const type = bufferType(wide);
  const queries = rowsOf("q", "b, h", "first_query", "p.queries");
  const grads = rowsOf("out", "b, h", "first_query", "p.queries", "grads");
  const keys = rowsOf("k", "b, kv", "first", "p.keys");
  const values = rowsOf("v", "b, kv", "first", "p.keys");
  return {
    name: "attentionBackward",
    buffers: [
      ...savedBuffers(type),
      { name: "deltas", type: "f32", writes: true },
      { name: "out", type },
      { name: "dq", type, writes: true },
    ],
    params: layoutParams(),
    code: `${attentionFunctions}${readers(dim, wide)}${reader("out", dim, wide)}${writer("dq", dim, wide)}
${tiles.declaration}
${entry(tiles.threads)}
${tiles.queries()}
  var own_delta = vec4f();
${tiles.eachSum((r, m) => `  own_delta[${r}] += ${tiles.inside(m, `dot(grads_vector(out_at(b, h, query${r}), ${tiles.vector(m)}), out_vector(out_at(b, h, query${r}), ${tiles.vector(m)}))`)};`)}
${tiles.acrossRow("delta", "own_delta", (a, b) => `${a} + ${b}`)}
${tiles.eachRow(
  (r) => `  if (x == 0u && first_query + ${tiles.row(r)} < p.queries) { deltas[saved${r}] = delta[${r}]; }
  let lse${r} = lse[saved${r}];`,
)}
${tiles.declareSums("o")}
  for (var first = 0u; first < end; first += ${COLUMNS}u) {
${tiles.scores("s", queries, keys)}
${tiles.scores("d", grads, values)}
    let column = vec4u(first + 4u * x) + vec4u(0u, 1u, 2u, 3u);
${tiles.eachRow(
  (r) =>
    `    ${tiles.weights(r)} = select(vec4f(), exp_of(s${r} * p.scale - lse${r}) * (d${r} - delta[${r}]) * p.scale, column < vec4u(limit${r}));`,
)}
${tiles.add("o", keys)}
  }
${tiles.eachRow(
  (r) => `  if (first_query + ${tiles.row(r)} < p.queries) {
    let q_start = q_at(b, h, query${r});
${tiles.own.map((m) => `    put_dq(q_start, ${tiles.vector(m)}, o${r}_${m});`).join("\n")}
  }`,
)}
}`,
  };
}

/** dk = sum over the heads of the group and their queries of ds * q; dv that of p * dO. */
function keySource(tiles: Tiles, dim: number, wide: boolean): KernelSource {
  const type = bufferType(wide);
  const keys = rowsOf("k", "b, kv", "first_key", "p.keys");
  const values = rowsOf("v", "b, kv", "first_key", "p.keys");
  const queries = rowsOf("q", "b, h", "first", "p.queries");
  const grads = rowsOf("out", "b, h", "first", "p.queries", "grads");
  const four = (buffer: string) =>
    `vec4f(${[0, 1, 2, 3].map((c) => `${buffer}[saved + min(first + 4u * x + ${c}u, p.queries - 1u)]`).join(", ")})`;
  return {
    name: "attentionBackward",
    buffers: [
      ...savedBuffers(type),
      { name: "deltas", type: "f32" },
      { name: "dk", type, writes: true },
      { name: "dv", type, writes: true },
    ],
    params: layoutParams(),
    code: `${attentionFunctions}${readers(dim, wide)}${writer("dk", dim, wide)}${writer("dv", dim, wide)}
${tiles.declaration}
${entry(tiles.threads)}
  let b = group / (p.kv_heads * p.tiles);
  let kv = (group / p.tiles) % p.kv_heads;
  let first_key = (group % p.tiles) * ${tiles.rows}u;
${tiles.place}
${tiles.declareSums("key_sum")}
${tiles.declareSums("value_sum")}
  let heads_each = p.heads / p.kv_heads;
  // Under a causal mask, queries before these see none of the keys.
  let ahead = i32(p.queries) - i32(p.keys);
${tiles.eachRow((r) => `  let since${r} = select(0, i32(first_key + ${tiles.row(r)}) + ahead, p.causal == 1u);`)}
  let start = u32(select(0, max(i32(first_key) + ahead, 0), p.causal == 1u));
  for (var h = kv * heads_each; h < (kv + 1u) * heads_each; h++) {
    let saved = (b * p.heads + h) * p.queries;
    for (var first = start; first < p.queries; first += ${COLUMNS}u) {
      let column_lse = ${four("lse")};
      let column_delta = ${four("deltas")};
${tiles.scores("s", keys, queries)}
${tiles.scores("d", values, grads)}
      let column = vec4i(i32(first + 4u * x)) + vec4i(0, 1, 2, 3);
${tiles.eachRow(
  (r) => `      let seen${r} = (column >= vec4i(since${r})) & (column < vec4i(i32(p.queries)));
      s${r} = select(vec4f(), exp_of(s${r} * p.scale - column_lse), seen${r});
      ${tiles.weights(r)} = s${r};`,
)}
${tiles.add("value_sum", grads)}
${tiles.eachRow((r) => `      ${tiles.weights(r)} = select(vec4f(), s${r} * (d${r} - column_delta) * p.scale, seen${r});`)}
${tiles.add("key_sum", queries)}
    }
  }
${tiles.eachRow(
  (r) => `  if (first_key + ${tiles.row(r)} < p.keys) {
    let k_start = k_at(b, kv, first_key + ${tiles.row(r)});
    let v_start = v_at(b, kv, first_key + ${tiles.row(r)});
${tiles.own.map((m) => `    put_dk(k_start, ${tiles.vector(m)}, key_sum${r}_${m});\n    put_dv(v_start, ${tiles.vector(m)}, value_sum${r}_${m});`).join("\n")}
  }`,
)}
}`,
  };
}
