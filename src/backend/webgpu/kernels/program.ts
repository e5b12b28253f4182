/** Expression programs as WGSL over four elements at once. */

import type { LaneType, Program, Step } from "../../../core/expr.js";
import { floatFunctions } from "../shader.js";

const vectors: { readonly [type in LaneType]: string } = { f32: "vec4f", i32: "vec4i", bool: "vec4<bool>" };

/** NaN if either is NaN; saturating conversion; both without a test that an optimiser may drop. */
export const laneFunctions = `${floatFunctions}
fn is_nan4(x: vec4f) -> vec4<bool> { return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }
fn min4(a: vec4f, b: vec4f) -> vec4f { return select(min(a, b), a + b, is_nan4(a) | is_nan4(b)); }
fn max4(a: vec4f, b: vec4f) -> vec4f { return select(max(a, b), a + b, is_nan4(a) | is_nan4(b)); }
fn to_int4(x: vec4f) -> vec4i {
  let inside = vec4i(clamp(x, vec4f(-2147483648.0), vec4f(2147483520.0)));
  return select(select(inside, vec4i(0x7fffffff), x >= vec4f(2147483648.0)), vec4i(0), is_nan4(x));
}
`;

const numbers = new WeakMap<Program, number>();
const numbersByKey = new Map<string, number>();

/** A short name for a program: the keys of programs are long, and looked up at every call. */
export function numberOf(program: Program): number {
  let number = numbers.get(program);
  if (number === undefined) {
    number = numbersByKey.get(program.key) ?? numbersByKey.size;
    numbersByKey.set(program.key, number);
    numbers.set(program, number);
  }
  return number;
}

/** A constant of one lane. */
function constant({ type, value }: Step): string {
  if (type === "bool") return value ? "true" : "false";
  // The most negative int32 has no literal of its own.
  if (type === "i32") return value === -2147483648 ? "(-2147483647i - 1i)" : `${value}i`;
  if (Number.isNaN(value)) return "bitcast<f32>(nan_bits)";
  if (Math.abs(value) === Number.POSITIVE_INFINITY) return value > 0 ? "infinity()" : "-infinity()";
  return Object.is(value, -0) ? "-0f" : `${value}f`;
}

const infix: Readonly<Record<string, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
  eq: "==",
  ne: "!=",
  and: "&",
  or: "|",
  xor: "^",
};

/**
 * Is this step (x + c) - c, written to round x or to find out how 1 + x was rounded? WGSL lets compilers cancel the
 * constants, which changes the result; an exclusive-or with a zero they do not know keeps them from it.
 */
function cancels(steps: readonly Step[], { op, args }: Step): boolean {
  if (op !== "sub") return false;
  const [left, right] = [steps[args[0]], steps[args[1]]];
  if (right.op !== "const" || (left.op !== "madd" && left.op !== "add")) return false;
  return left.args.some((arg) => steps[arg].op === "const" && steps[arg].value === right.value);
}

function operation(steps: readonly Step[], step: Step): string {
  const { op, type } = step;
  const [a, b, c] = step.args.map((arg) => `s${arg}`);
  const from = steps[step.args[0]]?.type;
  if (cancels(steps, step)) return `bitcast<vec4f>(bitcast<vec4u>(${a}) ^ vec4u(p.zero)) - ${b}`;
  switch (op) {
    case "neg":
      return `-${a}`;
    case "not":
      return `!${a}`;
    case "nearest":
      return `round(${a})`;
    case "abs":
    case "sqrt":
    case "floor":
    case "ceil":
    case "trunc":
      return `${op}(${a})`;
    case "min":
    case "max":
      return type === "f32" ? `${op}4(${a}, ${b})` : `${op}(${a}, ${b})`;
    case "xor":
      return type === "bool" ? `${a} != ${b}` : `${a} ^ ${b}`;
    case "shl":
    case "shr":
      return `${a} ${op === "shl" ? "<<" : ">>"} bitcast<vec4u>(${b})`;
    case "shrU":
      return `bitcast<vec4i>(bitcast<vec4u>(${a}) >> bitcast<vec4u>(${b}))`;
    case "ne":
      return from === "f32" ? `(${a} != ${b}) | is_nan4(${a}) | is_nan4(${b})` : `${a} != ${b}`;
    case "select":
      return `select(${c}, ${b}, ${a})`;
    case "madd":
      return `${a} * ${b} + ${c}`;
    case "toF32":
      return `vec4f(${a})`;
    case "toI32":
      return from === "f32" ? `to_int4(${a})` : `vec4i(${a})`;
    case "bitsToF32":
      return `bitcast<vec4f>(${a})`;
    case "bitsToI32":
      return `bitcast<vec4i>(${a})`;
    default:
      return `${a} ${infix[op]} ${b}`;
  }
}

/**
 * Statements that compute `s0`, `s1`, … : one for each step. `load` gives the text of an input, of four lanes; numbers
 * given at each call are `${numbers}0`, `${numbers}1`, …
 */
export function statements(
  { steps }: Program,
  load: (input: number, type: LaneType) => string,
  numbers = "p.scalar",
): string {
  const lines = steps.map((step, i) => {
    const vector = vectors[step.type];
    let value: string;
    if (step.op === "input") value = load(step.value, step.type);
    else if (step.op === "const") value = `${vector}(${constant(step)})`;
    else if (step.op === "scalar") value = scalarText(step, `${numbers}${step.value}`);
    else value = operation(steps, step);
    return `  let s${i}: ${vector} = ${value};`;
  });
  return lines.join("\n");
}

const scalarText = ({ type }: Step, number: string): string =>
  type === "bool" ? `vec4<bool>(${number} != 0.0)` : `${vectors[type]}(${type === "i32" ? "i32" : "f32"}(${number}))`;
