/**
 * Attention of a single query, as in a cached decode: a workgroup takes a head. Its threads score a chunk of keys side by
 * side, then share the columns of the values; a running softmax joins the chunks from key 0 on.
 */

import { entry, type KernelSource, THREADS, upTo } from "../shader.js";
import { attentionFunctions, bufferType, layoutParams, reader, vectorsOf, writer } from "./attention-layout.js";
import { maxAcross, sumAcross } from "./softmax.js";

/** Keys of a chunk that one thread scores. */
const EACH = 4;
const CHUNK = EACH * THREADS;

export function decodeSource(dim: number, wide: boolean): KernelSource {
  const vectors = vectorsOf(dim);
  // Threads share the keys of a chunk where a row has fewer vectors than there are threads; else each has several vectors.
  const slices = Math.max(1, Math.floor(THREADS / vectors));
  const own = upTo(Math.ceil(vectors / THREADS));
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
    across: [maxAcross, sumAcross],
    code: `${attentionFunctions}
${["q", "k", "v"].map((buffer) => reader(buffer, dim, wide)).join("")}${writer("out", dim, wide)}
var<workgroup> query: array<vec4f, ${vectors}>;
var<workgroup> weights: array<f32, ${CHUNK}>;
var<workgroup> parts: array<vec4f, ${THREADS}>;
${entry(THREADS)}
  let b = group / p.heads;
  let h = group % p.heads;
  let kv = (h * p.kv_heads) / p.heads;
  let q_start = q_at(b, h, 0u);
  for (var x = lane; x < ${vectors}u; x += ${THREADS}u) { query[x] = q_vector(q_start, x); }
  workgroupBarrier();
  let column = lane % ${vectors}u;
  let slice = lane / ${vectors}u;
${own.map((n) => `  var o${n} = vec4f();`).join("\n")}
  var most = -infinity();
  var total = 0.0;
  for (var first = 0u; first < p.keys; first += ${CHUNK}u) {
    var scores: array<f32, ${EACH}>;
    var next = most;
    for (var n = 0u; n < ${EACH}u; n++) {
      let key = first + n * ${THREADS}u + lane;
      var score = -infinity();
      if (key < p.keys) {
        let start = k_at(b, kv, key);
        var products = 0.0;
        for (var x = 0u; x < ${vectors}u; x++) { products += dot(query[x], k_vector(start, x)); }
        score = products * p.scale;
      }
      scores[n] = score;
      next = largest(next, score);
    }
    next = max_all(lane, next);
    let shift = select(next, 0.0, next == -infinity());
    let alpha = exp_non_positive(most - shift);
    total *= alpha;
    for (var n = 0u; n < ${EACH}u; n++) {
      let weight = exp_non_positive(scores[n] - shift);
      weights[n * ${THREADS}u + lane] = weight;
      total += weight;
    }
    most = next;
    workgroupBarrier();
${own.map((n) => `    o${n} *= alpha;`).join("\n")}
    if (slice < ${slices}u) {
      for (var j = slice; j < min(${CHUNK}u, p.keys - first); j += ${slices}u) {
        let start = v_at(b, kv, first + j);
${own.map((n) => `        o${n} += weights[j] * v_vector(start, min(column + ${n * THREADS}u, ${vectors - 1}u));`).join("\n")}
      }
    }
    workgroupBarrier();
  }
  total = sum_all(lane, total);
  let divisor = select(total, bitcast<f32>(nan_bits), total == 0.0);
  let out_start = out_at(b, h, 0u);
  parts[lane] = o0;
  workgroupBarrier();
  if (slice == 0u) {
    for (var s = 1u; s < ${slices}u; s++) { o0 += parts[s * ${vectors}u + column]; }
${own.map((n) => `    put_out(out_start, column + ${n * THREADS}u, o${n} / divisor);`).join("\n")}
  }
  if (lane == 0u) { lse[group] = select(most + log(total), -infinity(), total == 0.0); }
}`,
  };
}
