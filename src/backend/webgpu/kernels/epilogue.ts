/** Elementwise work on the results of a launch before it, in that launch: an activation, or what a product is added to. */

import type { Program } from "../../../core/expr.js";
import type { Operand } from "../../kernels.js";
import { pieceOf } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import type { Epilogue, ParamType } from "../shader.js";
import { laneFunctions, numberOf, statements } from "./program.js";

const known = new Map<string, Epilogue>();

/** Lets the launch before compute a program, where that waits for it and all tensors are float32 of one size. */
export function joinLaunch(
  gpu: Gpu,
  program: Program,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  scalars: readonly number[],
): boolean {
  const { heldResult } = gpu;
  const [output] = outputs;
  const isResult = (input: Operand) => pieceOf(input) === heldResult;
  if (!heldResult || outputs.length > 1 || !inputs.some(isResult)) return false;
  if (![...inputs, output].every(({ dtype, size }) => dtype === "float32" && size === output.size)) return false;
  if (program.steps[program.outputs[0]].type !== "f32") return false;
  const key = `${numberOf(program)} ${inputs.map((input) => (isResult(input) ? "r" : "t")).join("")}`;
  let epilogue = known.get(key);
  if (!epilogue) known.set(key, (epilogue = describe(program, key, inputs.map(isResult))));
  return gpu.join(epilogue, inputs, output, [0, ...scalars.slice(0, program.scalarCount)]);
}

function describe(program: Program, key: string, isResult: readonly boolean[]): Epilogue {
  const others = isResult.filter((is) => !is).map((_, i) => `with${i}`);
  let next = 0;
  const texts = isResult.map((is) => (is ? "made" : others[next++]));
  const params: Record<string, ParamType> = { zero: "u32" };
  for (let i = 0; i < program.scalarCount; i++) params[`scalar${i}`] = "f32";
  return {
    key,
    buffers: [...others.map((name) => ({ name, type: "vec4f" })), { name: "finished", type: "vec4f", writes: true }],
    reads: others,
    params,
    code: `${laneFunctions}
fn finish(at: u32, made: vec4f${others.map((name) => `, ${name}: vec4f`).join("")}) {
${statements(program, (input) => texts[input])}
  finished[at] = s${program.outputs[0]};
}
`,
  };
}
