/**
 * Gradients of attention. The probabilities are computed again from lse (Dao et al. 2022). One kernel walks over keys
 * for each tile of queries and gives dQ, another over queries for each tile of keys and gives dK and dV: no two
 * workgroups write to one place, so nothing depends on their order.
 */

import type { AttentionLayout, Operand } from "../../backend.js";
import type { Gpu } from "../gpu.js";
import { entry, type KernelSource, upTo } from "../shader.js";
import { checkDim } from "./attention.js";
import { ownFits, runOwn } from "./attention-own.js";
import {
  attentionFunctions,
  bufferType,
  fit,
  isWide,
  layoutNumbers,
  layoutParams,
  mostRows,
  ownVectors,
  PER_ROW,
  ROWS,
  reader,
  TileText,
  vectorsOf,
  writer,
} from "./attention-tiles.js";

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
  const most = mostRows(gpu.software);
  const rows = batch * heads * queries;
  const deltas = gpu.temporary(Math.max(4, rows * 4));
  const saved = [q, k, v, grad, lse, deltas];
  if (ownFits(gpu, layout)) {
    runOwn(gpu, "dq", [...saved, output, dQ], layout);
    runOwn(gpu, "dkv", [...saved, dK, dV], layout);
    gpu.pool.release(deltas);
    return;
  }
  const queryTiles = Math.ceil(queries / ROWS);
  const queryKernel = gpu.kernel(`attention dq ${dim} ${wide}`, () => querySource(dim, wide, most));
  gpu.run(queryKernel, [...saved, output, dQ], layoutNumbers(layout, queryTiles), batch * heads * queryTiles);
  const keyTiles = Math.ceil(keys / ROWS);
  const keyKernel = gpu.kernel(`attention dkv ${dim} ${wide}`, () => keySource(dim, wide, most));
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
function querySource(dim: number, wide: boolean, most: number): KernelSource {
  const { rows: keys, keepOwn } = fit(dim, most, 2, 2, 1);
  const own = ownVectors(dim);
  const mine = upTo(keys / PER_ROW);
  const queryTile = new TileText("query_tile", "q", dim, ROWS);
  const gradTile = new TileText("grad_tile", "grads", dim, ROWS);
  const keyTile = new TileText("key_tile", "k", dim, keys);
  const valueTile = new TileText("value_tile", "v", dim, keys);
  const type = bufferType(wide);
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
${keepOwn ? `${queryTile.declaration}\n${gradTile.declaration}` : ""}
${keyTile.declaration}
${valueTile.declaration}
var<workgroup> weights: array<f32, ${ROWS * keys}>;
${entry(64)}
  let b = group / (p.heads * p.tiles);
  let h = (group / p.tiles) % p.heads;
  let kv = (h * p.kv_heads) / p.heads;
  let first_query = (group % p.tiles) * ${ROWS}u;
  let row = lane / ${PER_ROW}u;
  let column = lane % ${PER_ROW}u;
  let query = min(first_query + row, p.queries - 1u);
  let limit = key_count(query);
  let q_start = q_at(b, h, query);
  let out_start = out_at(b, h, query);
  let row_lse = lse[(b * p.heads + h) * p.queries + query];
  var delta = 0.0;
  for (var x = 0u; x < ${vectorsOf(dim)}u; x++) { delta += dot(grads_vector(out_start, x), out_vector(out_start, x)); }
  if (column == 0u && first_query + row < p.queries) { deltas[(b * p.heads + h) * p.queries + query] = delta; }
  ${keepOwn ? queryTile.load("first_query", "p.queries", (t) => `q_at(b, h, ${t})`) : ""}
  ${keepOwn ? gradTile.load("first_query", "p.queries", (t) => `out_at(b, h, ${t})`) : ""}
${own.map((n) => `  var o${n} = vec4f();`).join("\n")}
  let end = key_count(min(first_query + ${ROWS}u, p.queries) - 1u);
  for (var first = 0u; first < end; first += ${keys}u) {
    ${keyTile.load("first", "p.keys", (t) => `k_at(b, kv, ${t})`)}
    ${valueTile.load("first", "p.keys", (t) => `v_at(b, kv, ${t})`)}
    workgroupBarrier();
${mine.map((n) => `    var s${n} = 0.0;\n    var d${n} = 0.0;`).join("\n")}
    for (var x = 0u; x < ${vectorsOf(dim)}u; x++) {
      let own_q = ${keepOwn ? queryTile.at("row", "x") : "q_vector(q_start, x)"};
      let own_grad = ${keepOwn ? gradTile.at("row", "x") : "grads_vector(out_start, x)"};
${mine
  .map((n) => {
    const key = `column + ${n * PER_ROW}u`;
    return `      s${n} += dot(own_q, ${keyTile.at(key, "x")});\n      d${n} += dot(own_grad, ${valueTile.at(key, "x")});`;
  })
  .join("\n")}
    }
${mine
  .map((n) => {
    const key = `column + ${n * PER_ROW}u`;
    return `    weights[row * ${keys}u + ${key}] = select(0.0, exp_non_positive(s${n} * p.scale - row_lse) * (d${n} - delta) * p.scale, first + ${key} < limit);`;
  })
  .join("\n")}
    workgroupBarrier();
    for (var j = 0u; j < ${keys}u; j++) {
      let weight = weights[row * ${keys}u + j];
${own.map((n) => `      o${n} += weight * ${keyTile.at("j", `min(column + ${n * PER_ROW}u, ${vectorsOf(dim) - 1}u)`)};`).join("\n")}
    }
    workgroupBarrier();
  }
  if (first_query + row >= p.queries) { return; }
${own.map((n) => `  put_dq(q_start, column + ${n * PER_ROW}u, o${n});`).join("\n")}
}`,
  };
}

/** dk = sum over the heads of the group and their queries of ds * q; dv that of p * dO. */
function keySource(dim: number, wide: boolean, most: number): KernelSource {
  const { rows: queries, keepOwn } = fit(dim, most, 2, 2, 2);
  const own = ownVectors(dim);
  const mine = upTo(queries / PER_ROW);
  const keyTile = new TileText("key_tile", "k", dim, ROWS);
  const valueTile = new TileText("value_tile", "v", dim, ROWS);
  const queryTile = new TileText("query_tile", "q", dim, queries);
  const gradTile = new TileText("grad_tile", "grads", dim, queries);
  const type = bufferType(wide);
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
${keepOwn ? `${keyTile.declaration}\n${valueTile.declaration}` : ""}
${queryTile.declaration}
${gradTile.declaration}
var<workgroup> shares: array<f32, ${ROWS * queries}>;
var<workgroup> weights: array<f32, ${ROWS * queries}>;
${entry(64)}
  let b = group / (p.kv_heads * p.tiles);
  let kv = (group / p.tiles) % p.kv_heads;
  let first_key = (group % p.tiles) * ${ROWS}u;
  let row = lane / ${PER_ROW}u;
  let column = lane % ${PER_ROW}u;
  let key = first_key + row;
  let k_start = k_at(b, kv, min(key, p.keys - 1u));
  let v_start = v_at(b, kv, min(key, p.keys - 1u));
  ${keepOwn ? keyTile.load("first_key", "p.keys", (t) => `k_at(b, kv, ${t})`) : ""}
  ${keepOwn ? valueTile.load("first_key", "p.keys", (t) => `v_at(b, kv, ${t})`) : ""}
${own.map((n) => `  var key_sum${n} = vec4f();\n  var value_sum${n} = vec4f();`).join("\n")}
  let heads_each = p.heads / p.kv_heads;
  // Under a causal mask, queries before this one see none of these keys.
  let unseen = select(0i, i32(first_key) + i32(p.queries) - i32(p.keys), p.causal == 1u);
  let start = (u32(max(unseen, 0)) / ${queries}u) * ${queries}u;
  for (var h = kv * heads_each; h < (kv + 1u) * heads_each; h++) {
    for (var first = start; first < p.queries; first += ${queries}u) {
      ${queryTile.load("first", "p.queries", (t) => `q_at(b, h, ${t})`)}
      ${gradTile.load("first", "p.queries", (t) => `out_at(b, h, ${t})`)}
      workgroupBarrier();
${mine.map((n) => `      var s${n} = 0.0;\n      var d${n} = 0.0;`).join("\n")}
      for (var x = 0u; x < ${vectorsOf(dim)}u; x++) {
        let own_k = ${keepOwn ? keyTile.at("row", "x") : "k_vector(k_start, x)"};
        let own_v = ${keepOwn ? valueTile.at("row", "x") : "v_vector(v_start, x)"};
${mine
  .map((n) => {
    const at = `column + ${n * PER_ROW}u`;
    return `        s${n} += dot(${queryTile.at(at, "x")}, own_k);\n        d${n} += dot(${gradTile.at(at, "x")}, own_v);`;
  })
  .join("\n")}
      }
${mine
  .map((n) => {
    const at = `column + ${n * PER_ROW}u`;
    return `      {
        let query = min(first + ${at}, p.queries - 1u);
        let saved = (b * p.heads + h) * p.queries + query;
        let seen = first + ${at} < p.queries && key < key_count(query);
        let share = select(0.0, exp_non_positive(s${n} * p.scale - lse[saved]), seen);
        shares[row * ${queries}u + ${at}] = share;
        weights[row * ${queries}u + ${at}] = select(0.0, share * (d${n} - deltas[saved]) * p.scale, seen);
      }`;
  })
  .join("\n")}
      workgroupBarrier();
      for (var j = 0u; j < ${queries}u; j++) {
        let share = shares[row * ${queries}u + j];
        let weight = weights[row * ${queries}u + j];
${own
  .map((n) => {
    const at = `min(column + ${n * PER_ROW}u, ${vectorsOf(dim) - 1}u)`;
    return `        key_sum${n} += weight * ${queryTile.at("j", at)};\n        value_sum${n} += share * ${gradTile.at("j", at)};`;
  })
  .join("\n")}
      }
      workgroupBarrier();
    }
  }
  if (key >= p.keys) { return; }
${own.map((n) => `  put_dk(k_start, column + ${n * PER_ROW}u, key_sum${n});\n  put_dv(v_start, column + ${n * PER_ROW}u, value_sum${n});`).join("\n")}
}`,
  };
}
