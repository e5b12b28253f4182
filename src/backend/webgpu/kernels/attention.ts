/**
 * Attention with a running softmax (Milakov, Gimelshein 2018; Dao et al. 2022): a workgroup takes 16 queries of a head
 * and walks over tiles of keys and values from key 0; the matrix of scores is never stored.
 */

import { DeviceError } from "../../../core/errors.js";
import type { AttentionLayout, Operand } from "../../backend.js";
import type { Gpu } from "../gpu.js";
import { entry, type KernelSource, upTo } from "../shader.js";
import { decodeSource } from "./attention-decode.js";
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

export function attention(
  gpu: Gpu,
  q: Operand,
  k: Operand,
  v: Operand,
  output: Operand,
  lse: Operand,
  layout: AttentionLayout,
): void {
  const { batch, heads, queries, dim } = layout;
  checkDim(dim);
  const wide = isWide(layout);
  if (queries === 1) {
    // A single query sees all keys, causal or not.
    const kernel = gpu.kernel(`attention decode ${dim} ${wide}`, () => decodeSource(dim, wide));
    gpu.run(kernel, [q, k, v, output, lse], layoutNumbers(layout, 1), batch * heads);
    return;
  }
  if (ownFits(gpu, layout)) {
    runOwn(gpu, "forward", [q, k, v, output, lse], layout);
    return;
  }
  const kernel = gpu.kernel(`attention ${dim} ${wide}`, () => source(dim, wide, mostRows(gpu.software)));
  const tiles = Math.ceil(queries / ROWS);
  gpu.run(kernel, [q, k, v, output, lse], layoutNumbers(layout, tiles), batch * heads * tiles);
}

/** Larger heads do not fit into the workgroup memory that every device has (`fit`, for the gradients of keys). */
export const LARGEST_HEAD = 492;

export function checkDim(dim: number): void {
  if (dim <= LARGEST_HEAD) return;
  throw new DeviceError(`attention: needs a head size up to ${LARGEST_HEAD} on webgpu, got ${dim}.`, {
    where: "attention",
    hint: "Use more heads, or the cpu device.",
  });
}

function source(dim: number, wide: boolean, most: number): KernelSource {
  const { rows: keys, keepOwn } = fit(dim, most, 1, 1, 1);
  const vectors = vectorsOf(dim);
  const own = ownVectors(dim);
  const mine = upTo(keys / PER_ROW);
  const queryTile = new TileText("query_tile", "q", dim, ROWS);
  const keyTile = new TileText("key_tile", "k", dim, keys);
  const valueTile = new TileText("key_tile", "v", dim, keys);
  const query = keepOwn ? queryTile.at("row", "x") : "q_vector(q_start, x)";
  const type = bufferType(wide);
  return {
    name: "attention",
    buffers: [
      { name: "q", type },
      { name: "k", type },
      { name: "v", type },
      { name: "out", type, writes: true },
      { name: "lse", type: "f32", writes: true },
    ],
    params: layoutParams(),
    code: `${attentionFunctions}
${["q", "k", "v"].map((buffer) => reader(buffer, dim, wide)).join("")}${writer("out", dim, wide)}
${keepOwn ? queryTile.declaration : ""}
${keyTile.declaration}
var<workgroup> weights: array<f32, ${ROWS * keys}>;
${entry(64)}
  let b = group / (p.heads * p.tiles);
  let h = (group / p.tiles) % p.heads;
  let kv = (h * p.kv_heads) / p.heads;
  let first_query = (group % p.tiles) * ${ROWS}u;
  let row = lane / ${PER_ROW}u;
  let column = lane % ${PER_ROW}u;
  let query = first_query + row;
  let limit = select(0u, key_count(query), query < p.queries);
  let q_start = q_at(b, h, min(query, p.queries - 1u));
  ${keepOwn ? queryTile.load("first_query", "p.queries", (t) => `q_at(b, h, ${t})`) : ""}
  var most = -infinity();
  var total = 0.0;
${own.map((n) => `  var o${n} = vec4f();`).join("\n")}
  // No query of the tile has more keys than its last.
  let end = key_count(min(first_query + ${ROWS}u, p.queries) - 1u);
  for (var first = 0u; first < end; first += ${keys}u) {
    ${keyTile.load("first", "p.keys", (t) => `k_at(b, kv, ${t})`)}
    workgroupBarrier();
${mine.map((n) => `    var s${n} = 0.0;`).join("\n")}
    for (var x = 0u; x < ${vectors}u; x++) {
      let own = ${query};
${mine.map((n) => `      s${n} += dot(own, ${keyTile.at(`column + ${n * PER_ROW}u`, "x")});`).join("\n")}
    }
${mine
  .map((n) => {
    const key = `column + ${n * PER_ROW}u`;
    return `    s${n} = select(-infinity(), s${n} * p.scale, first + ${key} < limit);\n    weights[row * ${keys}u + ${key}] = s${n};`;
  })
  .join("\n")}
    workgroupBarrier();
    var next = most;
    for (var j = 0u; j < ${keys}u; j++) {
      let s = weights[row * ${keys}u + j];
      next = largest(next, s);
    }
    let shift = select(next, 0.0, next == -infinity());
    ${valueTile.load("first", "p.keys", (t) => `v_at(b, kv, ${t})`)}
    workgroupBarrier();
${mine.map((n) => `    weights[row * ${keys}u + column + ${n * PER_ROW}u] = exp_non_positive(s${n} - shift);`).join("\n")}
    workgroupBarrier();
    let alpha = exp_non_positive(most - shift);
    total *= alpha;
${own.map((n) => `    o${n} *= alpha;`).join("\n")}
    for (var j = 0u; j < ${keys}u; j++) {
      let weight = weights[row * ${keys}u + j];
      total += weight;
${own.map((n) => `      o${n} += weight * ${valueTile.at("j", `min(column + ${n * PER_ROW}u, ${vectors - 1}u)`)};`).join("\n")}
    }
    most = next;
    workgroupBarrier();
  }
  if (query >= p.queries) { return; }
  let out_start = out_at(b, h, query);
  let divisor = select(total, bitcast<f32>(nan_bits), total == 0.0);
${own.map((n) => `  put_out(out_start, column + ${n * PER_ROW}u, o${n} / divisor);`).join("\n")}
  if (column == 0u) {
    lse[(b * p.heads + h) * p.queries + query] = select(most + log(total), -infinity(), total == 0.0);
  }
}`,
  };
}
