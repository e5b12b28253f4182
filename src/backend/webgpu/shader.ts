/** Kernels as text: their buffers, parameters and WGSL, and the pipelines made of them. */

import type { Abilities } from "./adapter.js";
import { byRanges, rangeNames } from "./ranges.js";

/** A storage buffer: the type of its elements, and whether the kernel writes it. */
export interface BufferSpec {
  readonly name: string;
  /** `f32`, `vec4f`, `u32`, `atomic<u32>`, … */
  readonly type: string;
  readonly writes?: boolean;
  /** Thread i has element i and no other, so that a launch may be given a range of the buffer. */
  readonly inStep?: boolean;
}

/** Numbers 0 … count - 1: texts are made of numbered parts. */
export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Threads of a workgroup, where a kernel has no reason for another number. */
export const THREADS = 64;

/** How many workgroups of `size` have so many threads. */
export const groupsOf = (threads: number, size = THREADS): number => Math.ceil(threads / size);

export type ParamType = "u32" | "i32" | "f32";

export interface KernelSource {
  /** For messages. */
  readonly name: string;
  readonly buffers: readonly BufferSpec[];
  /** Numbers given at each call, read as `p.name`. */
  readonly params: Readonly<Record<string, ParamType>>;
  /** Functions that the code calls to combine a value of each thread of its workgroup, of `threads` (or THREADS). */
  readonly across?: readonly Across[];
  readonly threads?: number;
  /** Of the values of a workgroup's threads those functions combine the first so many, where it is not all. */
  readonly combined?: number;
  /** Language features that the code needs, which the device must have. */
  readonly enables?: readonly string[];
  /** Functions and the entry point `main`. */
  readonly code: string;
}

/**
 * What a kernel does with each vector of four results besides writing it: `finish(at, made, …)`, which it calls with
 * what it has read there. Its buffers and numbers follow those of the kernel.
 */
export interface Epilogue {
  readonly key: string;
  readonly buffers: readonly BufferSpec[];
  /** Those of its buffers whose vectors at `at` follow `made`. */
  readonly reads: readonly string[];
  readonly params: Readonly<Record<string, ParamType>>;
  readonly code: string;
}

/**
 * What a kernel does first, in every workgroup: it makes a row of `size` numbers in `first_row`, in workgroup memory. Its
 * buffers and numbers come before those of the kernel, whose first row of operands that row is.
 */
export interface Prologue {
  readonly key: string;
  readonly size: number;
  /** Of the operands of the launch whose work it is, those that it needs: its buffers. */
  readonly operands: readonly number[];
  readonly buffers: readonly BufferSpec[];
  readonly params: Readonly<Record<string, ParamType>>;
  readonly across: readonly Across[];
  /** How many threads it works with; a workgroup may have more. */
  readonly threads: number;
  readonly code: string;
}

/** How the buffers of a launch are bound: what a kernel's pipeline depends on, besides its text. */
export interface Layout {
  /** For each buffer, the one whose binding it uses: its own, or that of an earlier one that is the same memory. */
  readonly shared: readonly number[];
  /** Into how many ranges each buffer is cut. */
  readonly ranges: readonly number[];
  readonly cut: boolean;
  readonly key: string;
}

/** A source with its pipelines: one for each way in which its buffers are bound. */
export class Kernel {
  /** Those of the source, and the number of workgroups. */
  readonly paramTypes: readonly ParamType[];
  /** What a binding of them takes. */
  readonly paramBytes: number;
  /** The layout of buffers that are all different and that one binding each reaches: of nearly all launches. */
  readonly plain: Layout;
  /** Which buffers it writes. */
  readonly written: readonly number[];
  readonly variants = new Map<string, Variant>();
  /** Those that do more with their results. */
  readonly joined = new Map<Epilogue, Kernel>();
  /** Variants that are made ahead of use and not ready yet. */
  readonly coming = new Map<string, Promise<void>>();

  constructor(readonly source: KernelSource) {
    this.paramTypes = [...Object.values(source.params), "u32"];
    this.paramBytes = Math.ceil(this.paramTypes.length / 4) * 16;
    const shared = upTo(source.buffers.length);
    this.plain = { shared, ranges: shared.map(() => 1), cut: false, key: `${shared}` };
    this.written = shared.filter((i) => source.buffers[i].writes);
  }
}

/** A pipeline. `bound` is what its bindings hold: ranges of operands. One that coincides with a written one shares its. */
export interface Variant {
  readonly id: number;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly bound: readonly { readonly operand: number; readonly range: number }[];
}

/** What a kernel's text depends on of the device. */
type Subgroups = Pick<Abilities, "subgroups" | "subgroupSize">;

/**
 * The text of a kernel in which buffer i is buffer `shared[i]`; with subgroups where the device has them, and with
 * buffers bound by as many ranges, of so many bytes, as `ranges` says.
 */
export function wgsl(
  { buffers, params, code, enables = [], across = [], threads = THREADS, combined = threads }: KernelSource,
  shared: readonly number[],
  { subgroups, subgroupSize }: Subgroups,
  ranges: { readonly counts: readonly number[]; readonly bytes: number },
): string {
  const own = buffers.map((_, i) => i).filter((i) => shared[i] === i);
  const writes = (i: number) => buffers.some((spec, j) => shared[j] === i && spec.writes);
  const lines = own
    .flatMap((i) => rangeNames(buffers[i].name, ranges.counts[i]).map((name) => ({ i, name })))
    .map(({ i, name }, binding) => {
      const access = writes(i) ? "read_write" : "read";
      return `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${buffers[i].type}>;`;
    });
  const fields = Object.entries(params).map(([name, type]) => `  ${name}: ${type},`);
  lines.push(`struct Params {\n${fields.join("\n")}\n  all_groups: u32,\n}`);
  lines.push(`@group(0) @binding(${lines.length - 1}) var<uniform> p: Params;`);
  const bySubgroups = subgroups && across.length > 0;
  const functions = across
    .map((one) =>
      bySubgroups ? acrossSubgroups(one, threads, combined, subgroupSize) : acrossMemory(one, threads, combined),
    )
    .join("");
  let body = `${bySubgroups ? `${subgroupState}${functions}${code.replace(entryInputs, subgroupInputs)}` : `${functions}${code}`}`;
  buffers.forEach((spec, i) => {
    if (shared[i] !== i) body = body.replaceAll(new RegExp(`\\b${spec.name}\\b`, "g"), buffers[shared[i]].name);
  });
  for (const i of own) {
    if (ranges.counts[i] > 1)
      body = byRanges(body, { ...buffers[i], writes: writes(i) }, ranges.counts[i], ranges.bytes);
  }
  const enabled = bySubgroups ? [...enables, "subgroups"] : enables;
  return `${enabled.map((name) => `enable ${name};\n`).join("")}${bySubgroups ? "diagnostic(off, subgroup_uniformity);\n" : ""}${lines.join("\n")}\n${body}`;
}

const entryInputs = "@builtin(local_invocation_index) lane: u32) {";

/**
 * The head of an entry point of `size` threads per workgroup: `group` is the number of the workgroup, `lane` that of
 * the thread in it, `thread` that of the thread in all, and `more` are other inputs. A large launch has a few workgroups
 * too many; they end here.
 */
export const entry = (size: number, more = ""): string => `@compute @workgroup_size(${size}) fn main(
  @builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) group_count: vec3u, ${more}
  ${entryInputs}
  let group = group_id.x + group_id.y * group_count.x;
  if (group >= p.all_groups) { return; }
  let thread = group * ${size}u + lane;`;

/**
 * A function `name(lane, own)` that combines one value of each thread of a workgroup and gives all of them the result.
 * Where only those of the first threads are combined, the others must come with what is `empty`.
 */
export interface Across {
  readonly name: string;
  readonly type: string;
  /** What changes no value that it is combined with. */
  readonly empty: string;
  combine(a: string, b: string): string;
}

/** A few threads combine a share of the values each, then every thread combines what those have. */
function acrossMemory({ name, type, combine }: Omit<Across, "empty">, threads = THREADS, combined = threads): string {
  const parts = combined <= 64 ? 8 : combined <= 256 ? 16 : 32;
  return `
var<workgroup> ${name}_all: array<${type}, ${threads}>;
var<workgroup> ${name}_part: array<${type}, ${parts}>;
fn ${name}(lane: u32, own: ${type}) -> ${type} {
  ${name}_all[lane] = own;
  workgroupBarrier();
  if (lane < ${parts}u) {
    var total = ${name}_all[lane * ${combined / parts}u];
    for (var i = 1u; i < ${combined / parts}u; i++) { total = ${combine("total", `${name}_all[lane * ${combined / parts}u + i]`)}; }
    ${name}_part[lane] = total;
  }
  workgroupBarrier();
  var total = ${name}_part[0];
  for (var i = 1u; i < ${parts}u; i++) { total = ${combine("total", `${name}_part[i]`)}; }
  workgroupBarrier();
  return total;
}
`;
}

/** Values of one thread that are read with no loop around: more make the text long. */
const MOST_READ = 32;

/**
 * The threads of a subgroup exchange values in a fixed tree, the first of each leaves theirs, and every subgroup combines
 * those in the same way. Which threads are a subgroup does not matter; WGSL does not say. Where all subgroups have `size`
 * threads, loops are written out: their reads need not wait for each other.
 */
function acrossSubgroups(
  { name, type, empty, combine }: Across,
  threads: number,
  combined: number,
  size: number | undefined,
): string {
  const exchange = (s: string) => `total = ${combine("total", `subgroupShuffleXor(total, ${s})`)};`;
  const add = (at: string) => `total = ${combine("total", `${name}_all[${at}]`)};`;
  const exchanges = size
    ? upTo(31 - Math.clz32(Math.min(size, threads))).map((i) => exchange(`${1 << i}u`))
    : [`for (var s = 1u; s < min(subgroup_threads, ${threads}u); s *= 2u) { ${exchange("s")} }`];
  const adds =
    size && combined % size === 0 && combined <= MOST_READ * size
      ? upTo(combined / size)
          .slice(1)
          .map((i) => add(`subgroup_lane + ${i * size}u`))
      : [`for (var i = subgroup_lane + subgroup_threads; i < ${combined}u; i += subgroup_threads) { ${add("i")} }`];
  return `
var<workgroup> ${name}_all: array<${type}, ${threads}>;
fn ${name}_subgroup(own: ${type}) -> ${type} {
  var total = own;
  ${exchanges.join("\n  ")}
  return total;
}
fn ${name}(lane: u32, own: ${type}) -> ${type} {
  var total = ${name}_subgroup(own);
  ${name}_all[lane] = select(${empty}, total, subgroup_lane == 0u);
  workgroupBarrier();
  total = ${name}_all[subgroup_lane];
  ${adds.join("\n  ")}
  total = ${name}_subgroup(total);
  workgroupBarrier();
  return total;
}
`;
}

/** The size of subgroups is the same for all threads of a launch, which compilers cannot see in a variable. */
const subgroupState = `
var<private> subgroup_lane: u32;
var<private> subgroup_threads: u32;
`;

const subgroupInputs = `@builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_invocation_id) own_subgroup_lane: u32, @builtin(subgroup_size) own_subgroup_threads: u32) {
  subgroup_lane = own_subgroup_lane;
  subgroup_threads = own_subgroup_threads;`;

/**
 * WGSL may not write infinities or NaN as constants, and optimisers may assume there are none: bits decide. The largest
 * of two is NaN if either is; the exponential of numbers up to 0 is exactly 0 far below.
 */
export const floatFunctions = `
var<private> inf_bits: u32 = 0x7f800000u;
var<private> nan_bits: u32 = 0x7fc00000u;
fn infinity() -> f32 { return bitcast<f32>(inf_bits); }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_lowest(x: f32) -> bool { return bitcast<u32>(x) == 0xff800000u; }
fn largest(a: f32, b: f32) -> f32 { return select(max(a, b), a + b, is_nan(a) | is_nan(b)); }
fn exp_non_positive(x: f32) -> f32 { return select(exp(x), 0.0, x < -87.33); }
`;
