/**
 * One program over many sets of tensors, in few launches: the step of an optimizer. What the program changes (parameters
 * and moments, which live long) is moved onto shelves at the first step, the same place on each, so that one binding of
 * each shelf reaches all of them; only what differs from step to step (gradients) needs a binding for each set.
 */

import type { Program } from "../../../core/expr.js";
import type { ElementwiseCall, Operand } from "../../kernels.js";
import { pieceOf } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import { onShelf, Piece } from "../pool.js";
import { entry, groupsOf, type KernelSource, type ParamType, upTo } from "../shader.js";
import { elementwise } from "./elementwise.js";
import { laneFunctions, numberOf, statements } from "./program.js";

/** Larger tensors keep a launch and a buffer of their own: moving them would cost more memory than a launch costs time. */
const MOST_BYTES = 2 ** 22;
/** A shelf is bound whole. */
const SHELF_BYTES = 2 ** 26;
const shelfBytes = ({ pool }: Gpu) => Math.min(SHELF_BYTES, pool.range);

/** Which inputs of the program are outputs too, the same in all calls, and which are for each call alone. */
interface Roles {
  readonly changed: readonly number[];
  readonly own: readonly number[];
}

/** A call whose changed tensors lie at element `base` of the shelves. */
interface Segment {
  readonly call: ElementwiseCall;
  readonly shelves: readonly Piece[];
  readonly base: number;
}

export function elementwiseMany(
  gpu: Gpu,
  program: Program,
  calls: readonly ElementwiseCall[],
  shared: readonly Operand[],
): void {
  const together = calls.length > 1 ? calls.filter((call) => canLieTogether(gpu, call)) : [];
  for (const { inputs, outputs, scalars } of calls.filter((call) => !together.includes(call)))
    elementwise(gpu, program, [...inputs, ...shared], outputs, scalars);
  if (together.length === 0) return;
  const { inputs, outputs } = together[0];
  const changed = outputs.map((output) => inputs.findIndex(({ storage }) => storage === output.storage));
  const roles = { changed, own: inputs.map((_, i) => i).filter((i) => !changed.includes(i)) };
  const room = gpu.abilities.bindings - changed.length - shared.length;
  const most = roles.own.length > 0 ? Math.max(1, Math.floor(room / roles.own.length)) : 64;
  const segments = placed(gpu, together, changed);
  for (let at = 0; at < segments.length; ) {
    const { shelves } = segments[at];
    let end = at + 1;
    while (end < segments.length && end < at + most && shelves.every((s, c) => s === segments[end].shelves[c])) end++;
    launch(gpu, program, segments.slice(at, end), roles, shared);
    at = end;
  }
}

const canLieTogether = (gpu: Gpu, { inputs }: ElementwiseCall): boolean =>
  inputs.every(({ size, dtype }) => dtype === "float32" && size === inputs[0].size) &&
  inputs[0].size > 0 &&
  inputs[0].size * 4 <= Math.min(MOST_BYTES, shelfBytes(gpu));

/** Finds the places of all calls; those that have none yet are moved. */
function placed(gpu: Gpu, calls: readonly ElementwiseCall[], changed: readonly number[]): Segment[] {
  const columnsOf = ({ inputs }: ElementwiseCall) => changed.map((i) => pieceOf(inputs[i]));
  let part: ElementwiseCall[] = [];
  let bytes = 0;
  const move = () => {
    for (const c of changed.keys()) gpu.shelve(part.map((call) => columnsOf(call)[c]));
    part = [];
    bytes = 0;
  };
  for (const call of calls) {
    if (placeOf(columnsOf(call))) continue;
    const own = onShelf(pieceOf(call.inputs[changed[0]]));
    if (part.length > 0 && bytes + own > shelfBytes(gpu)) move();
    part.push(call);
    bytes += own;
  }
  if (part.length > 0) move();
  // While something is rehearsed nothing has a place, and one for all gives the kernels that will be used.
  const nowhere = { shelves: changed.map(() => new Piece(0)), base: 0 };
  return calls.map((call) => ({ call, ...(placeOf(columnsOf(call)) ?? nowhere) }));
}

/** The place of pieces that lie on shelves, each at the same offset of its own. */
function placeOf(pieces: readonly Piece[]): Omit<Segment, "call"> | undefined {
  const offset = pieces[0].slot?.offset;
  const shelves: Piece[] = [];
  for (const { slot } of pieces) {
    if (!slot?.shelf || slot.offset !== offset) return undefined;
    shelves.push(slot.shelf.whole);
  }
  return { shelves, base: offset! / 4 };
}

function launch(
  gpu: Gpu,
  program: Program,
  segments: readonly Segment[],
  roles: Roles,
  shared: readonly Operand[],
): void {
  // Most numbers are those of all tensors alike (rates, decays); the others are picked with the segment.
  const scalars = upTo(program.scalarCount);
  const common = segments[0].call.scalars;
  const varying = scalars.filter((i) => segments.some(({ call }) => call.scalars[i] !== common[i]));
  const kernel = gpu.kernel(
    `update ${numberOf(program)} ${segments.length} ${varying} ${shared.length} ${roles.changed}`,
    () => source(program, segments.length, varying, roles, shared.length, gpu.threads),
  );
  const numbers = [0, ...scalars.map((i) => common[i])];
  let groups = 0;
  for (const { call, base } of segments) {
    const quads = Math.ceil(call.inputs[0].size / 4);
    numbers.push(groups, quads, base / 4, ...varying.map((i) => call.scalars[i]));
    groups += groupsOf(quads, gpu.threads);
  }
  const own = segments.flatMap(({ call }) => roles.own.map((i) => call.inputs[i]));
  gpu.run(kernel, [...segments[0].shelves, ...own, ...shared], numbers, groups);
  for (const { call } of segments) for (const i of roles.changed) gpu.touch(pieceOf(call.inputs[i]));
}

function source(
  program: Program,
  count: number,
  varying: readonly number[],
  { changed, own }: Roles,
  sharedCount: number,
  threads: number,
): KernelSource {
  const params: Record<string, ParamType> = { zero: "u32" };
  for (let i = 0; i < program.scalarCount; i++) params[`number${i}`] = "f32";
  const all = upTo(count);
  for (const s of all) {
    Object.assign(params, { [`first${s}`]: "u32", [`quads${s}`]: "u32", [`base${s}`]: "u32" });
    for (const i of varying) params[`number${s}_${i}`] = "f32";
  }
  // A workgroup has one segment: its numbers and its own tensors are picked, then all do the same.
  const pick = (s: number) => `    e = (group - p.first${s}) * ${threads}u + lane;
    if (e >= p.quads${s}) { return; }
    at = p.base${s} + e;
${own.map((i) => `    own${i} = in${i}_${s}[e];`).join("\n")}
${varying.map((i) => `    number${i} = p.number${s}_${i};`).join("\n")}`;
  const picks = all.map((s) =>
    s < count - 1 ? `if (group < p.first${s + 1}) {\n${pick(s)}\n  }` : `{\n${pick(s)}\n  }`,
  );
  const shared = upTo(sharedCount).map((i) => `shared${i}`);
  const inputs = changed.length + own.length;
  const load = (input: number): string => {
    if (input >= inputs) return `vec4f(shared${input - inputs}[0])`;
    return changed.includes(input) ? `shelf${changed.indexOf(input)}[at]` : `own${input}`;
  };
  return {
    name: "update",
    buffers: [
      ...changed.map((_, c) => ({ name: `shelf${c}`, type: "vec4f", writes: true })),
      ...all.flatMap((s) => own.map((i) => ({ name: `in${i}_${s}`, type: "vec4f" }))),
      ...shared.map((name) => ({ name, type: "f32" })),
    ],
    params,
    code: `${laneFunctions}
${entry(threads)}
  var e: u32;
  var at: u32;
${own.map((i) => `  var own${i}: vec4f;`).join("\n")}
${upTo(program.scalarCount)
  .map((i) => `  var number${i} = p.number${i};`)
  .join("\n")}
  ${picks.join(" else ")}
${statements(program, load, "number")}
${program.outputs.map((step, c) => `  shelf${c}[at] = s${step};`).join("\n")}
}`,
  };
}
