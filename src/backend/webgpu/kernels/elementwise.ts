/** Elementwise programs: one kernel per program, dtypes and broadcasting; four elements per thread. */

import { dtypes } from "../../../core/dtype.js";
import { DeviceError } from "../../../core/errors.js";
import type { LaneType, Program } from "../../../core/expr.js";
import type { Shape } from "../../../core/shape.js";
import type { Operand } from "../../kernels.js";
import { pieceOf } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import { entry, groupsOf, type KernelSource, type ParamType } from "../shader.js";
import { cellFunctions, cells } from "./cells.js";
import { joinLaunch } from "./epilogue.js";
import { laneFunctions, numberOf, statements } from "./program.js";

/** Bytes of four elements of float32 or int32. */
const LARGEST_QUAD = 16;

/** How an input reaches the four lanes of a thread. */
type Access =
  /** Element by element, like the output. */
  | { readonly kind: "same" }
  /** One element for all. */
  | { readonly kind: "one" }
  /** One number that is known on this side: a parameter. */
  | { readonly kind: "known"; readonly value: number }
  /** Element sum of ((e / pitch) % size) * stride over the dims that are not repeated. */
  | { readonly kind: "spread"; readonly dims: readonly SpreadDim[]; readonly lanes: Lanes };

/** What the four lanes of a thread have of a tensor that repeats: neighbours in a whole vector, one element, or any. */
type Lanes = "vector" | "single" | "any";

interface SpreadDim {
  readonly pitch: number;
  readonly size: number;
  readonly stride: number;
}

export function elementwise(
  gpu: Gpu,
  program: Program,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  scalars: readonly number[],
): void {
  const { shape, size } = outputs[0];
  if (size === 0 || joinLaunch(gpu, program, inputs, outputs, scalars)) return;
  const plan = inputs.map((input, i) => accessOf(gpu, input, shape, size, laneOf(program, i)));
  const key = `elementwise ${numberOf(program)}|${plan.map((access, i) => `${inputs[i].dtype}${tag(access)}`)}|${outputs.map(({ dtype }) => dtype)}`;
  const bound = inputs.filter((_, i) => plan[i].kind !== "known");
  const kernel = gpu.kernel(key, () => {
    checkBindings(gpu, bound, outputs);
    return source(program, plan, inputs, outputs, gpu.threads);
  });
  const values = scalars.slice(0, program.scalarCount);
  for (const access of plan) {
    if (access.kind === "known") values.push(access.value);
    if (access.kind === "spread") for (const { pitch, size, stride } of access.dims) values.push(pitch, size, stride);
  }
  // What is above the limit of one binding takes a launch for each range.
  const most = gpu.pool.range / LARGEST_QUAD;
  for (let first = 0, quads = Math.ceil(size / 4); first < quads; first += most) {
    const count = Math.min(most, quads - first);
    gpu.run(kernel, [...bound, ...outputs], [count, first, 0, ...values], groupsOf(count, gpu.threads), first);
  }
}

/** Each tensor takes a binding; an output that is an input shares its. */
function checkBindings({ abilities, operation }: Gpu, inputs: readonly Operand[], outputs: readonly Operand[]): void {
  const apart = outputs.filter((output) => !inputs.some((input) => pieceOf(input) === pieceOf(output)));
  const needed = inputs.length + apart.length;
  const most = abilities.bindings;
  if (needed <= most) return;
  const op = operation || "elementwise";
  throw new DeviceError(`webgpu: ${op} needs ${needed} bindings for its tensors, got ${most} of this adapter.`, {
    ...{ where: "webgpu", op, limit: most },
    hint: "Compute it in several operations, or use the cpu device.",
  });
}

const laneOf = (program: Program, input: number): LaneType =>
  program.steps.find((step) => step.op === "input" && step.value === input)?.type ?? "f32";

function accessOf(gpu: Gpu, input: Operand, shape: Shape, size: number, lane: LaneType): Access {
  const { known } = pieceOf(input);
  if (input.size === 1 && known && lane !== "bool" && dtypes[input.dtype].arithmetic) {
    gpu.noteKnown(pieceOf(input));
    const typed = new dtypes[input.dtype].array(known.slice().buffer, 0, 1);
    return { kind: "known", value: typed[0] };
  }
  if (input.size === size) return { kind: "same" };
  if (input.size === 1) return { kind: "one" };
  const dims = spreadDims(input.shape, shape);
  const { pitch, size: run } = dims[0];
  return { kind: "spread", dims, lanes: pitch % 4 === 0 ? "single" : pitch === 1 && run % 4 === 0 ? "vector" : "any" };
}

/** Neighbouring dims that are all repeated, or all read, count as one. */
function spreadDims(from: Shape, to: Shape): SpreadDim[] {
  const dims: SpreadDim[] = [];
  let pitch = 1;
  let stride = 1;
  let open: { pitch: number; size: number; stride: number } | undefined;
  for (let d = to.length - 1; d >= 0; d--) {
    const own = from[d - (to.length - from.length)] ?? 1;
    if (own === 1 && to[d] !== 1) open = undefined;
    else if (to[d] !== 1) {
      if (open) open.size *= to[d];
      else dims.push((open = { pitch, size: to[d], stride }));
      stride *= to[d];
    }
    pitch *= to[d];
  }
  return dims;
}

const tag = (access: Access): string =>
  access.kind === "spread"
    ? `spread(${access.lanes} ${access.dims.map(({ pitch, stride }) => (pitch === 1 ? "u" : stride === 1 ? "s" : "g"))})`
    : access.kind;

function source(
  program: Program,
  plan: readonly Access[],
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  threads: number,
): KernelSource {
  const params: Record<string, ParamType> = { quads: "u32", first: "u32", zero: "u32" };
  for (let i = 0; i < program.scalarCount; i++) params[`scalar${i}`] = "f32";
  const places: string[] = [];
  const loads = plan.map((access, i) => {
    const cell = cells[inputs[i].dtype];
    const name = `in${i}`;
    if (access.kind === "same") return cell.unpack(`${name}[thread]`);
    if (access.kind === "known") {
      params[`known${i}`] = cell.lane === "f32" ? "f32" : "i32";
      return `vec4${cell.lane === "f32" ? "f" : "i"}(p.known${i})`;
    }
    const vector = cell.lane === "bool" ? "vec4<bool>" : cell.lane === "f32" ? "vec4f" : "vec4i";
    if (access.kind === "one") return `${vector}(${cell.at(name, "0u")})`;
    const terms = access.dims.map(({ pitch, stride }, d) => {
      const own = `${name}_${d}`;
      Object.assign(params, { [`${own}_pitch`]: "u32", [`${own}_size`]: "u32", [`${own}_stride`]: "u32" });
      const from = access.lanes === "any" ? "e" : "e.x";
      const place = pitch === 1 ? from : `${from} / p.${own}_pitch`;
      return `(${place}) % p.${own}_size${stride === 1 ? "" : ` * p.${own}_stride`}`;
    });
    const at = `at${i}`;
    places.push(`  let ${at} = ${terms.join(" + ")};`);
    if (access.lanes === "vector") return cell.unpack(`${name}[${at} / 4u]`);
    if (access.lanes === "single") return `${vector}(${cell.at(name, at)})`;
    const lanes = ["x", "y", "z", "w"].map((lane) => cell.at(name, `${at}.${lane}`));
    return `${vector}(${lanes.join(", ")})`;
  });
  const stores = outputs.map((output, i) => {
    const { lane, pack } = cells[output.dtype];
    const from = program.steps[program.outputs[i]].type;
    const value = `s${program.outputs[i]}`;
    return `  out${i}[thread] = ${pack(from === lane ? value : convert(value, from, lane))};`;
  });
  const buffers = [
    ...inputs.flatMap(({ dtype }, i) => {
      const access = plan[i];
      if (access.kind === "known") return [];
      const inStep = access.kind === "same";
      const quads = inStep || (access.kind === "spread" && access.lanes === "vector");
      return [{ name: `in${i}`, type: quads ? cells[dtype].quad : cells[dtype].word, inStep }];
    }),
    ...outputs.map(({ dtype }, i) => ({ name: `out${i}`, type: cells[dtype].quad, writes: true, inStep: true })),
  ];
  const body = statements(program, (input) => loads[input]);
  return {
    name: `elementwise ${program.steps.filter((step) => step.args.length > 0).at(-1)?.op ?? "copy"}`,
    buffers,
    params,
    code: `${laneFunctions}${cellFunctions([...inputs, ...outputs].map(({ dtype }) => dtype))}
${entry(threads)}
  if (thread >= p.quads) { return; }
  let e = (p.first + thread) * 4u + vec4u(0u, 1u, 2u, 3u);
${places.join("\n")}
${body}
${stores.join("\n")}
}`,
  };
}

/** Stores of another lane type convert as the typed arrays of the reference do. */
function convert(value: string, from: LaneType, to: LaneType): string {
  if (to === "bool") return `(${value} != ${from === "f32" ? "vec4f(0.0)" : "vec4i(0)"})`;
  if (to === "f32") return `vec4f(${value})`;
  return from === "f32" ? `to_int4(${value})` : `vec4i(${value})`;
}
