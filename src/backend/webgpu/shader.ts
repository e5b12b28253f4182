/** Kernels as text: their buffers, parameters and WGSL, and the pipelines made of them. */

/** A storage buffer: the type of its elements, and whether the kernel writes it. */
export interface BufferSpec {
  readonly name: string;
  /** `f32`, `vec4f`, `u32`, `atomic<u32>`, … */
  readonly type: string;
  readonly writes?: boolean;
}

export type ParamType = "u32" | "i32" | "f32";

export interface KernelSource {
  /** For messages. */
  readonly name: string;
  readonly buffers: readonly BufferSpec[];
  /** Numbers given at each call, read as `p.name`. */
  readonly params: Readonly<Record<string, ParamType>>;
  /** Language features that the code needs, which the device must have. */
  readonly enables?: readonly ("f16" | "subgroups")[];
  /** Functions and the entry point `main`. */
  readonly code: string;
}

/** A source with its pipelines: one for each way in which its buffers coincide. */
export class Kernel {
  /** Those of the source, and the number of workgroups. */
  readonly paramTypes: readonly ParamType[];
  readonly variants = new Map<string, Variant>();
  /** Variants that are made ahead of use and not ready yet. */
  readonly coming = new Map<string, Promise<void>>();

  constructor(readonly source: KernelSource) {
    this.paramTypes = [...Object.values(source.params), "u32"];
  }
}

/** A pipeline. `slots` are the buffers that get a binding: later ones that coincide with a written one share its. */
export interface Variant {
  readonly id: number;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly slots: readonly number[];
}

/** The text of a kernel in which buffer i is buffer `shared[i]`. */
export function wgsl({ buffers, params, code, enables = [] }: KernelSource, shared: readonly number[]): string {
  const own = buffers.map((_, i) => i).filter((i) => shared[i] === i);
  const writes = (i: number) => buffers.some((spec, j) => shared[j] === i && spec.writes);
  const lines = own.map((i, binding) => {
    const access = writes(i) ? "read_write" : "read";
    return `@group(0) @binding(${binding}) var<storage, ${access}> ${buffers[i].name}: array<${buffers[i].type}>;`;
  });
  const fields = Object.entries(params).map(([name, type]) => `  ${name}: ${type},`);
  lines.push(`struct Params {\n${fields.join("\n")}\n  all_groups: u32,\n}`);
  lines.push(`@group(0) @binding(${own.length}) var<uniform> p: Params;`);
  let body = code;
  buffers.forEach((spec, i) => {
    if (shared[i] !== i) body = body.replaceAll(new RegExp(`\\b${spec.name}\\b`, "g"), buffers[shared[i]].name);
  });
  return `${enables.map((name) => `enable ${name};\n`).join("")}${lines.join("\n")}\n${body}`;
}

/**
 * The head of an entry point of `size` threads per workgroup: `group` is the number of the workgroup, `lane` that of
 * the thread in it, `thread` that of the thread in all. A large launch has a few workgroups too many; they end here.
 */
export const entry = (size: number): string => `@compute @workgroup_size(${size}) fn main(
  @builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) group_count: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + group_id.y * group_count.x;
  if (group >= p.all_groups) { return; }
  let thread = group * ${size}u + lane;`;

/** WGSL may not write infinities or NaN as constants, and optimisers may assume there are none: bits decide. */
export const floatBits = `
var<private> inf_bits: u32 = 0x7f800000u;
var<private> nan_bits: u32 = 0x7fc00000u;
fn infinity() -> f32 { return bitcast<f32>(inf_bits); }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
`;
