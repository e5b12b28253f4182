/** Kernels that do one thing as fast as a card can: what it computes and moves at most. None of them is Tenon's. */

import type { SubgroupMatrix } from "./open.js";

export const THREADS = 256;

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

/** Multiply-adds of a thread in a round: chains of vectors that wait for nobody but themselves, in registers. */
export const UNROLL = 4;
export const multiplyAdds = (type: "f32" | "f16", chains: number) => `
${type === "f16" ? "enable f16;" : ""}
struct Params { rounds: u32, factor: f32, addend: f32 }
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<uniform> p: Params;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u) {
  // Neither number is known to the compiler, and x approaches addend / (1 - factor): nothing overflows or dies away.
  let factor = vec4(${type}(p.factor));
  let addend = vec4(${type}(p.addend));
${upTo(chains)
  .map((i) => `  var x${i} = vec4(${type}(id.x % 64u + ${i}u));`)
  .join("\n")}
  for (var round = 0u; round < p.rounds; round++) {
${upTo(UNROLL)
  .flatMap(() => upTo(chains).map((i) => `    x${i} = fma(x${i}, factor, addend);`))
  .join("\n")}
  }
  out[id.x] = f32(dot(${upTo(chains)
    .map((i) => `x${i}`)
    .join(" + ")}, vec4(${type}(1))));
}`;

/** Loads of a thread that are under way together. */
export const LOADS = 8;

/** Every thread reads vectors, neighbours beside each other, and leaves one word behind. */
export const reading = `
struct Params { vectors: u32 }
@group(0) @binding(0) var<storage, read> source: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = groups.x * ${THREADS}u;
  var found = vec4u();
  for (var i = id.x; i < p.vectors; i += ${LOADS}u * stride) {
    found ^= ${upTo(LOADS)
      .map((j) => `source[i + ${j}u * stride]`)
      .join(" ^ ")};
  }
  out[id.x] = found.x ^ found.y ^ found.z ^ found.w;
}`;

export const copying = `
struct Params { vectors: u32 }
@group(0) @binding(0) var<storage, read> source: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4u>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = groups.x * ${THREADS}u;
  for (var i = id.x; i < p.vectors; i += ${LOADS}u * stride) {
${upTo(LOADS)
  .map((j) => `    let v${j} = source[i + ${j}u * stride];`)
  .join("\n")}
${upTo(LOADS)
  .map((j) => `    out[i + ${j}u * stride] = v${j};`)
  .join("\n")}
  }
}`;

/** Counts its launches: each has to wait for the one before, as the kernels of a step have. */
export const counting = `
struct Params { addend: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> p: Params;
@compute @workgroup_size(1)
fn main() {
  out[0] += p.addend;
}`;

/** Fragments of a and of b that a subgroup holds; each pair has a sum of its own, so that none waits for another. */
export const FRAGMENTS = { left: 2, right: 4 };

/** Elements between the fragments' places in memory, which must lie on 16 bytes. */
const APART = 64;

/** One subgroup to a workgroup: products of fragments that stay in registers. */
export function fragments({ componentType, resultComponentType, M, N, K }: SubgroupMatrix, threads: number): string {
  const { left, right } = FRAGMENTS;
  const pairs = upTo(left).flatMap((r) => upTo(right).map((c) => [r, c]));
  const load = (side: string, columns: number, rows: number, at: number) =>
    `subgroupMatrixLoad<subgroup_matrix_${side}<${componentType}, ${columns}, ${rows}>, row_major>(&numbers, ${at * APART}u, ${columns}u)`;
  return `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
struct Params { rounds: u32 }
@group(0) @binding(0) var<storage, read> numbers: array<${componentType}>;
@group(0) @binding(1) var<storage, read_write> out: array<${resultComponentType}>;
@group(0) @binding(2) var<uniform> p: Params;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u) {
${upTo(left)
  .map((r) => `  let a${r} = ${load("left", K, M, r)};`)
  .join("\n")}
${upTo(right)
  .map((c) => `  let b${c} = ${load("right", N, K, left + c)};`)
  .join("\n")}
${pairs.map(([r, c]) => `  var t${r}_${c} = subgroup_matrix_result<${resultComponentType}, ${N}, ${M}>();`).join("\n")}
  for (var round = 0u; round < p.rounds; round++) {
${upTo(UNROLL)
  .flatMap(() => pairs.map(([r, c]) => `    t${r}_${c} = subgroupMatrixMultiplyAccumulate(a${r}, b${c}, t${r}_${c});`))
  .join("\n")}
  }
  let at = group.x * ${pairs.length * M * N}u;
${pairs.map(([r, c], i) => `  subgroupMatrixStore<row_major>(&out, at + ${i * M * N}u, t${r}_${c}, ${N}u);`).join("\n")}
}`;
}
