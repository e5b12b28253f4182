/** Elementwise programs: one kernel per program, dtypes and way of broadcasting, emitted at its first use. */

import type { DType } from "../../../core/dtype.js";
import { dtypes } from "../../../core/dtype.js";
import type { LaneType, Program } from "../../../core/expr.js";
import { broadcastStrides } from "../../../core/shape.js";
import type { Operand } from "../../kernels.js";
import type { ModuleBuilder, Parameters } from "../assembler.js";
import type { Engine } from "../engine.js";
import { type F32, type I32, range, type V128 } from "../values.js";
import { i32x4 } from "../vectors.js";
import { type LaneAccess, laneAccess } from "./lanes.js";
import { addressOf } from "./operands.js";
import { ProgramCode } from "./program.js";

/** How an input moves along the innermost dim: with the elements, or one element for all. */
type Advance = "each" | "one";

interface Variant {
  program: Program;
  inputs: readonly { dtype: DType; advance: Advance }[];
  outputs: readonly DType[];
  scalars: readonly LaneType[];
  fused: boolean;
}

/** Dims of a call after merging: neighbours that every operand walks through in one stride are one dim. */
interface Walk {
  sizes: number[];
  /** Element strides of each input (outputs are contiguous). */
  strides: number[][];
}

/** Vectors side by side in the inner loop: few enough that a huge program does not make a huge kernel. */
const unrollFor = (program: Program) => (program.steps.length <= 80 ? 4 : 2);

export function elementwise(
  engine: Engine,
  program: Program,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  scalars: readonly number[],
): void {
  const { shape, size } = outputs[0];
  if (size === 0) return;
  const walk = mergeDims(shape, size, inputs);
  const inner = walk.sizes.length - 1;
  const kernel = kernelFor(engine, program, inputs, outputs, walk);
  const rows = inner > 0 ? walk.sizes[inner - 1] : 1;
  const columns = walk.sizes[inner];
  const byRows = rows > columns;
  const cost = rows * columns * (0.2 + 0.06 * program.steps.length);
  // Dims beyond the two that the kernel walks: one run for each of their positions.
  const positions = size / (rows * columns);
  for (let index = 0; index < positions; index++) {
    const args = [0, rows, 0, columns, columns];
    for (let i = 0; i < inputs.length; i++) {
      const bytes = dtypes[inputs[i].dtype].size;
      const strides = walk.strides[i];
      const start = positions > 1 ? offsetAt(index, walk.sizes, strides, inner - 1) : 0;
      args.push(addressOf(inputs[i]) + start * bytes, inner > 0 ? strides[inner - 1] * bytes : 0);
    }
    for (const output of outputs) args.push(addressOf(output) + index * rows * columns * dtypes[output.dtype].size);
    for (const scalar of scalars) args.push(Number(scalar));
    engine.pool.run(kernel, args, {
      rangeArgument: byRows ? 0 : 2,
      total: byRows ? rows : columns,
      granule: byRows ? 1 : 64,
      cost,
    });
  }
}

const dtypeNames = Object.keys(dtypes) as DType[];
/** Kernels by engine and program, then by a number made of dtypes and advances: looked up at every call. */
const kernels = new WeakMap<Engine, WeakMap<Program, Map<number, number>>>();

function kernelFor(
  engine: Engine,
  program: Program,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  walk: Walk,
): number {
  const inner = walk.sizes.length - 1;
  let code = inputs.length;
  for (let i = 0; i < inputs.length; i++) {
    code = code * 12 + 2 * dtypeNames.indexOf(inputs[i].dtype) + (walk.strides[i][inner] === 0 ? 1 : 0);
  }
  for (const output of outputs) code = code * 6 + dtypeNames.indexOf(output.dtype);
  let programs = kernels.get(engine);
  if (!programs) kernels.set(engine, (programs = new WeakMap()));
  let variants = programs.get(program);
  if (!variants) programs.set(program, (variants = new Map()));
  const known = Number.isSafeInteger(code) ? variants.get(code) : undefined;
  if (known !== undefined) return known;
  const variant: Variant = {
    program,
    inputs: inputs.map(({ dtype }, i) => ({ dtype, advance: walk.strides[i][inner] === 0 ? "one" : "each" })),
    outputs: outputs.map(({ dtype }) => dtype),
    scalars: scalarTypes(program),
    fused: engine.fused,
  };
  const key = `${variant.inputs.map(({ dtype, advance }) => `${dtype} ${advance}`)}>${variant.outputs}:${program.key}`;
  const { kernel } = engine.family(key, (module) => defineElementwise(module, variant));
  variants.set(code, kernel);
  return kernel;
}

function scalarTypes(program: Program): LaneType[] {
  const types: LaneType[] = range(program.scalarCount).map(() => "f32");
  for (const step of program.steps) if (step.op === "scalar") types[step.value] = step.type;
  return types;
}

function mergeDims(shape: readonly number[], size: number, inputs: readonly Operand[]): Walk {
  // Nothing repeats: one dim.
  if (inputs.every((input) => input.size === size)) return { sizes: [size], strides: inputs.map(() => oneStride) };
  const all = inputs.map((input) => broadcastStrides(input.shape, shape));
  const sizes: number[] = [];
  const strides: number[][] = inputs.map(() => []);
  shape.forEach((size, dim) => {
    if (size === 1) return;
    const last = sizes.length - 1;
    if (last >= 0 && all.every((own, i) => strides[i][last] === own[dim] * size)) {
      sizes[last] *= size;
      for (const [i, own] of all.entries()) strides[i][last] = own[dim];
      return;
    }
    sizes.push(size);
    for (const [i, own] of all.entries()) strides[i].push(own[dim]);
  });
  if (sizes.length === 0) {
    sizes.push(1);
    for (const own of strides) own.push(0);
  }
  return { sizes, strides };
}

const oneStride = [1];

/** Element offset of position `index` of the first `count` dims. */
function offsetAt(index: number, sizes: readonly number[], strides: readonly number[], count: number): number {
  let offset = 0;
  for (let dim = count - 1; dim >= 0; dim--) {
    offset += (index % sizes[dim]) * strides[dim];
    index = Math.floor(index / sizes[dim]);
  }
  return offset;
}

function defineElementwise(module: ModuleBuilder, { program, inputs, outputs, scalars, fused }: Variant): void {
  const parameters: Parameters = { row0: "i32", row1: "i32", column0: "i32", column1: "i32", columns: "i32" };
  inputs.forEach((_, i) => {
    parameters[`input${i}`] = "i32";
    parameters[`rowStride${i}`] = "i32";
  });
  outputs.forEach((_, i) => {
    parameters[`output${i}`] = "i32";
  });
  scalars.forEach((type, i) => {
    parameters[`scalar${i}`] = type === "f32" ? "f32" : "i32";
  });
  module.export("kernel", parameters, (f, locals) => {
    const p = locals as Record<string, I32>;
    const accesses = new Map<DType, LaneAccess>();
    const access = (dtype: DType) => {
      if (!accesses.has(dtype)) accesses.set(dtype, laneAccess(f, dtype));
      return accesses.get(dtype)!;
    };
    for (const { dtype } of inputs) access(dtype);
    for (const dtype of outputs) access(dtype);
    const code = new ProgramCode(f, program, fused);
    const scalarLanes = scalars.map((type, i) => {
      if (type === "f32") return f.let((locals[`scalar${i}`] as F32).splat());
      const lanes = i32x4.splat(p[`scalar${i}`]);
      return f.let(type === "bool" ? i32x4.ne(lanes, i32x4.const(0)) : lanes);
    });
    const unroll = unrollFor(program);
    f.for(p.row0, p.row1, 1, (row) => {
      const constant: (V128 | undefined)[] = [];
      const sources = inputs.map(({ dtype, advance }, i) => {
        const start = f.let(p[`input${i}`].add(row.mul(p[`rowStride${i}`])));
        if (advance === "one") constant[i] = access(dtype).splat(start);
        else f.inc(start, p.column0.mul(access(dtype).bytes));
        return start;
      });
      const targets = outputs.map((dtype, i) =>
        f.let(p[`output${i}`].add(row.mul(p.columns).add(p.column0).mul(access(dtype).bytes))),
      );
      const compute = (vectors: number) =>
        code.emitSeveral(
          range(vectors).map((vector) =>
            inputs.map(
              ({ dtype }, i) => constant[i] ?? access(dtype).load(sources[i], 4 * access(dtype).bytes * vector),
            ),
          ),
          scalarLanes,
        );
      const left = f.let(p.column1.sub(p.column0));
      const round = (vectors: number) =>
        f.while(left.geU(4 * vectors), () => {
          for (const [vector, results] of compute(vectors).entries()) {
            for (const [i, lanes] of results.entries()) {
              access(outputs[i]).store(targets[i], lanes, 4 * access(outputs[i]).bytes * vector);
            }
          }
          inputs.forEach(({ dtype, advance }, i) => {
            if (advance === "each") f.inc(sources[i], 4 * vectors * access(dtype).bytes);
          });
          for (const [i, dtype] of outputs.entries()) f.inc(targets[i], 4 * vectors * access(dtype).bytes);
          f.inc(left, -4 * vectors);
        });
      if (unroll > 1) round(unroll);
      round(1);
      f.if(left, () => {
        for (const [i, lanes] of compute(1)[0].entries()) access(outputs[i]).storeSome(targets[i], lanes, left);
      });
    });
  });
}
