/**
 * Attention with a running softmax (Milakov, Gimelshein 2018; Dao et al. 2022): a workgroup takes a tile of queries of a
 * head and walks over tiles of keys and values from key 0; the matrix of scores is never stored.
 */

import { DeviceError } from "../../../core/errors.js";
import type { AttentionLayout, Operand } from "../../kernels.js";
import type { Gpu } from "../gpu.js";
import { entry, type KernelSource } from "../shader.js";
import { decode } from "./attention-decode.js";
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
  if (queries === 1) {
    // A single query sees all keys, causal or not.
    decode(gpu, q, k, v, output, lse, layout);
    return;
  }
  const own = ownAttention(gpu, layout);
  if (own) {
    own(gpu, "forward", [q, k, v, output, lse], layout);
    return;
  }
  const wide = isWide(layout);
  const { software } = gpu;
  const kernel = gpu.kernel(`attention ${dim} ${wide}`, () => source(new Tiles(dim, 1, software), dim, wide));
  const tiles = Math.ceil(queries / tileRows(dim, 1, software));
  gpu.run(kernel, [q, k, v, output, lse], layoutNumbers(layout, tiles), batch * heads * tiles);
}

export function cachedAttention(
  gpu: Gpu,
  qkv: Operand,
  cache: Operand,
  output: Operand,
  lse: Operand,
  layout: AttentionLayout,
): void {
  checkDim(layout.dim);
  decode(gpu, qkv, cache, cache, output, lse, layout, true);
}

/** That of software adapters, where they have one for such heads. */
export function ownAttention({ only: { software } }: Gpu, { dim }: AttentionLayout) {
  return software && dim <= software.longestHead ? software.attention : undefined;
}

/** Four rows must fit into the workgroup memory that every device has, and sums of a row into registers. */
export const LARGEST_HEAD = 512;

export function checkDim(dim: number): void {
  if (dim <= LARGEST_HEAD) return;
  throw new DeviceError(`attention: needs a head size up to ${LARGEST_HEAD} on webgpu, got ${dim}.`, {
    where: "attention",
    hint: "Use more heads, or the cpu device.",
  });
}

function source(tiles: Tiles, dim: number, wide: boolean): KernelSource {
  const type = bufferType(wide);
  const queries = rowsOf("q", "b, h", "first_query", "p.queries");
  const keys = rowsOf("k", "b, kv", "first", "p.keys");
  const values = rowsOf("v", "b, kv", "first", "p.keys");
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
${tiles.declaration}
${entry(tiles.threads)}
${tiles.queries()}
  var most = vec4f(-infinity());
  var total = vec4f();
${tiles.declareSums("o")}
  for (var first = 0u; first < end; first += ${COLUMNS}u) {
${tiles.scores("s", queries, keys)}
    let column = vec4u(first + 4u * x) + vec4u(0u, 1u, 2u, 3u);
    var own_most = most;
${tiles.eachRow(
  (r) => `    s${r} = select(vec4f(-infinity()), s${r} * p.scale, column < vec4u(limit${r}));
    own_most[${r}] = max(most[${r}], max(max(s${r}.x, s${r}.y), max(s${r}.z, s${r}.w)));`,
)}
${tiles.acrossRow("next", "own_most", (a, b) => `max(${a}, ${b})`)}
    let shift = select(next, vec4f(), next == vec4f(-infinity()));
    let alpha = exp_of(most - shift);
    total *= alpha;
${tiles.eachRow(
  (r) => `    s${r} = exp_of(s${r} - shift[${r}]);
    total[${r}] += (s${r}.x + s${r}.y) + (s${r}.z + s${r}.w);
    ${tiles.weights(r)} = s${r};`,
)}
${tiles.eachSum((r, m) => `    o${r}_${m} *= alpha[${r}];`)}
${tiles.add("o", values)}
    most = next;
  }
${tiles.acrossRow("sum", "total", (a, b) => `${a} + ${b}`)}
${tiles.eachRow(
  (r) => `  if (first_query + ${tiles.row(r)} < p.queries) {
    let out_start = out_at(b, h, query${r});
    let divisor = select(sum[${r}], bitcast<f32>(nan_bits), sum[${r}] == 0.0);
${tiles.own.map((m) => `    put_out(out_start, ${tiles.vector(m)}, o${r}_${m} / divisor);`).join("\n")}
    if (x == 0u) { lse[saved${r}] = log_of_sum(most[${r}], sum[${r}]); }
  }`,
)}
}`,
  };
}
