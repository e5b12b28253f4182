/**
 * Attention of a single query, as in a cached decode. A workgroup takes a head, or a part of its keys where there are
 * many and few heads (Dao et al. 2023, Flash-Decoding): then a second launch joins the parts. In it a few threads, a
 * slot, share each row; a slot has a running softmax of its own over every `slots`th key, and they are joined at the end.
 */

import type { AttentionLayout, HeadLayout, Operand } from "../../kernels.js";
import type { OnGpu } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import type { Piece } from "../pool.js";
import { entry, type KernelSource, THREADS, upTo } from "../shader.js";
import {
  attentionFunctions,
  bufferType,
  isWide,
  layoutNumbers,
  layoutParams,
  reader,
  vectorsOf,
  writer,
} from "./attention-layout.js";
import { maxAcross, sumAcross } from "./softmax.js";

/** So many keys are no reason for a second launch. */
const WHOLE_KEYS = 512;
/** Keys of a part are a multiple of this; and so many workgroups keep a large card busy. */
const PART_KEYS = 256;
const BUSY = 512;

export function decode(
  gpu: Gpu,
  q: Operand,
  k: Operand,
  v: Operand,
  output: Operand,
  lse: Operand,
  layout: AttentionLayout,
  /** The last key and its value lie behind all queries of `q`, and go to `k` and `v` as well. */
  fresh = false,
): void {
  const { batch, heads, keys, dim } = layout;
  const wide = isWide(layout);
  const rows = batch * heads;
  const kernel = gpu.kernel(`attention decode ${dim} ${wide} ${fresh}`, () =>
    decodeSource(dim, wide, fresh, gpu.software),
  );
  const run = (out: OnGpu | Piece, outLse: OnGpu | Piece, place: HeadLayout, parts: number, partKeys: number) => {
    const numbers = [...layoutNumbers({ ...layout, out: place }, parts), partKeys, ...(fresh ? [heads * dim] : [])];
    gpu.run(kernel, [q, k, v, out, outLse], numbers, rows * parts);
  };
  const most = gpu.software || keys <= WHOLE_KEYS ? 1 : Math.min(THREADS, Math.floor(BUSY / rows));
  if (most <= 1) {
    run(output, lse, layout.out, 1, keys);
    return;
  }
  const partKeys = Math.ceil(keys / most / PART_KEYS) * PART_KEYS;
  const parts = Math.ceil(keys / partKeys);
  const outputs = gpu.temporary(rows * parts * dim * 4);
  const lses = gpu.temporary(rows * parts * 4);
  run(outputs, lses, { offset: 0, batch: heads * parts * dim, head: parts * dim, row: dim }, parts, partKeys);
  const join = gpu.kernel(`attention join ${dim} ${wide}`, () => joinSource(dim, wide));
  gpu.run(join, [outputs, lses, output, lse], layoutNumbers(layout, parts), rows);
  gpu.pool.release(outputs);
  gpu.pool.release(lses);
}

function decodeSource(dim: number, wide: boolean, fresh: boolean, software: boolean): KernelSource {
  const vectors = vectorsOf(dim);
  // All that a thread loads of a chunk is in flight at once: a pair of vectors of eight keys and of their values. Where
  // barriers cost much, few threads meet at them, and shorter texts are made faster.
  const [threads, pair, quads] = software ? [16, 4, upTo(1)] : [256, 2, upTo(2)];
  const lanes = (software ? [1, 2, 4, 8] : [8, 16, 32]).find((n) => n * pair >= vectors) ?? (software ? 16 : 64);
  const slots = threads / lanes;
  const own = upTo(Math.ceil(vectors / lanes));
  const each = upTo(4 * quads.length);
  const vector = (m: number) => `column + ${m * lanes}u`;
  // What lies past the end of a row counts as zero, since the query's is zero and the result is not stored.
  const last = (m: number) => ((m + 1) * lanes > vectors ? `min(${vector(m)}, ${vectors - 1}u)` : vector(m));
  const query = (m: number) => {
    const value = `q_vector(q_at(b, h, 0u), ${last(m)})`;
    return (m + 1) * lanes > vectors ? `select(vec4f(), ${value}, ${vector(m)} < ${vectors}u)` : value;
  };
  const place = (quad: number, lane: string) => `products[slot * ${lanes}u + ${quad * threads}u + ${lane}]`;
  const rows = (buffer: string) =>
    each
      .flatMap((n) => [
        `    let ${buffer}${n}_at = ${buffer}_at(b, kv, min(first + slot + ${n * slots}u, end - 1u));`,
        ...own.map((m) => `    let ${buffer}${n}_${m}${there} = ${buffer}_vector(${buffer}${n}_at, ${last(m)});`),
      ])
      .join("\n");
  // The last row is not there yet. What is in its place is passed over once everything is in flight.
  const there = fresh ? "_there" : "";
  const isFresh = (n: number) => `first + slot + ${n * slots}u == p.keys - 1u`;
  const replaced = (buffer: string) =>
    each.flatMap((n) =>
      own.map(
        (m) => `    let ${buffer}${n}_${m} = select(${buffer}${n}_${m}_there, fresh_${buffer}${m}, ${isFresh(n)});`,
      ),
    );
  const behind = (m: number, widths: number) => `q_vector(q_at(b, h, 0u) + ${widths}u * p.width, ${last(m)})`;
  const reads = own.map((m) => `  let fresh_k${m} = ${behind(m, 1)};\n  let fresh_v${m} = ${behind(m, 2)};`);
  const writes = ["k", "v"].flatMap((buffer) =>
    own.map((m) => `    put_${buffer}(${buffer}_at(b, kv, p.keys - 1u), ${vector(m)}, fresh_${buffer}${m});`),
  );
  // The last key stands for those past it, whose weight is 0: an infinite value of it must not count a second time.
  const value = (n: number, m: number) => `select(vec4f(), v${n}_${m}, key${n >> 2}[${n & 3}] < end)`;
  const type = bufferType(wide);
  return {
    name: "attention",
    buffers: [
      { name: "q", type },
      { name: "k", type, writes: fresh },
      { name: "v", type, writes: fresh },
      { name: "out", type, writes: true },
      { name: "lse", type: "f32", writes: true },
    ],
    params: { ...layoutParams(), part_keys: "u32", ...(fresh ? ({ width: "u32" } as const) : {}) },
    code: `${attentionFunctions}
${["q", "k", "v"].map((buffer) => reader(buffer, dim, wide)).join("")}
${["out", ...(fresh ? ["k", "v"] : [])].map((buffer) => writer(buffer, dim, wide)).join("")}
var<workgroup> products: array<vec4f, ${quads.length * threads}>;
var<workgroup> sums: array<vec4f, ${threads}>;
var<workgroup> mosts: array<f32, ${slots}>;
var<workgroup> totals: array<f32, ${slots}>;
${entry(threads)}
  let b = group / (p.heads * p.tiles);
  let h = (group / p.tiles) % p.heads;
  let part = group % p.tiles;
  let kv = (h * p.kv_heads) / p.heads;
  let end = min((part + 1u) * p.part_keys, p.keys);
  let column = lane % ${lanes}u;
  let slot = lane / ${lanes}u;
${own.map((m) => `  let q${m} = ${query(m)};\n  var o${m} = vec4f();`).join("\n")}
${fresh ? reads.join("\n") : ""}
  var most = -infinity();
  var total = 0.0;
  for (var first = part * p.part_keys; first < end; first += ${slots * each.length}u) {
${rows("k")}
${rows("v")}
${fresh ? [...replaced("k"), ...replaced("v")].join("\n") : ""}
${quads
  .map((quad) => {
    const dots = upTo(4).map((i) => own.map((m) => `dot(q${m}, k${4 * quad + i}_${m})`).join(" + "));
    return `    ${place(quad, "column")} = vec4f(${dots.join(", ")});`;
  })
  .join("\n")}
    workgroupBarrier();
${quads
  .map(
    (quad) => `    var s${quad} = ${upTo(lanes)
      .map((i) => place(quad, `${i}u`))
      .join(" + ")};
    let key${quad} = vec4u(first + slot) + vec4u(${upTo(4)
      .map((i) => `${(4 * quad + i) * slots}u`)
      .join(", ")});
    s${quad} = select(vec4f(-infinity()), s${quad} * p.scale, key${quad} < vec4u(end));`,
  )
  .join("\n")}
    workgroupBarrier();
    let four = ${quads.map((quad) => `s${quad}`).reduce((a, s) => `max(${a}, ${s})`)};
    let next = max(most, max(max(four.x, four.y), max(four.z, four.w)));
    let shift = select(next, 0.0, next == -infinity());
    let alpha = exp_non_positive(most - shift);
    most = next;
    total *= alpha;
${own.map((m) => `    o${m} *= alpha;`).join("\n")}
${quads.map((quad) => `    s${quad} = exp_of(s${quad} - shift);\n    total += (s${quad}.x + s${quad}.y) + (s${quad}.z + s${quad}.w);`).join("\n")}
${each.map((n) => own.map((m) => `    o${m} += s${n >> 2}[${n & 3}] * ${value(n, m)};`).join("\n")).join("\n")}
  }
  if (column == 0u) {
    mosts[slot] = most;
    totals[slot] = total;
  }
  workgroupBarrier();
  var largest_most = mosts[0];
  for (var s = 1u; s < ${slots}u; s++) { largest_most = max(largest_most, mosts[s]); }
  let shift = select(largest_most, 0.0, largest_most == -infinity());
  total = 0.0;
  for (var s = 0u; s < ${slots}u; s++) { total += totals[s] * exp_non_positive(mosts[s] - shift); }
  let divisor = select(total, bitcast<f32>(nan_bits), total == 0.0);
  let alpha = exp_non_positive(most - shift);
${own
  .map(
    (m) => `  sums[lane] = o${m} * alpha;
  workgroupBarrier();
  if (slot == 0u) {
    var sum = sums[column];
    for (var s = 1u; s < ${slots}u; s++) { sum += sums[s * ${lanes}u + column]; }
    put_out(out_at(b, h, part), ${vector(m)}, sum / divisor);
  }
  workgroupBarrier();`,
  )
  .join("\n")}
${fresh ? `  if (slot == 0u && end == p.keys) {\n${writes.join("\n")}\n  }` : ""}
  if (lane == 0u) { lse[group] = log_of_sum(shift, total); }
}`,
  };
}

/** The softmax over parts: each has an output and the logarithm of its sum, by which it counts. */
function joinSource(dim: number, wide: boolean): KernelSource {
  const vectors = vectorsOf(dim);
  const type = bufferType(wide);
  const together = upTo(8);
  return {
    name: "attention",
    buffers: [
      { name: "parts", type },
      { name: "part_lse", type: "f32" },
      { name: "out", type, writes: true },
      { name: "lse", type: "f32", writes: true },
    ],
    params: layoutParams(),
    across: [maxAcross, sumAcross],
    code: `${attentionFunctions}${reader("parts", dim, wide)}${writer("out", dim, wide)}
var<workgroup> weights: array<f32, ${THREADS}>;
${entry(THREADS)}
  let own = select(-infinity(), part_lse[group * p.tiles + min(lane, p.tiles - 1u)], lane < p.tiles);
  let most = max_all(lane, own);
  let shift = select(most, 0.0, most == -infinity());
  let weight = exp_non_positive(own - shift);
  weights[lane] = weight;
  let total = sum_all(lane, weight);
  let divisor = select(total, bitcast<f32>(nan_bits), total == 0.0);
  for (var x = lane; x < ${vectors}u; x += ${THREADS}u) {
    var sum = vec4f();
    for (var part = 0u; part < p.tiles; part += ${together.length}u) {
${together.map((i) => `      let part${i} = parts_vector((group * p.tiles + min(part + ${i}u, p.tiles - 1u)) * ${dim}u, x);`).join("\n")}
      // A part whose keys all count for nothing has no output.
${together.map((i) => `      let weight${i} = weights[part + ${i}u];\n      sum += select(weight${i} * part${i}, vec4f(), weight${i} == 0.0);`).join("\n")}
    }
    put_out(out_at(group / p.heads, group % p.heads, 0u), x, sum / divisor);
  }
  if (lane == 0u) { lse[group] = log_of_sum(shift, total); }
}`,
  };
}
