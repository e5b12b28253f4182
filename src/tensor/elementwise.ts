/** Elementwise rows: from an op's expression and derivative to programs, cached per attribute variant and lane types. */

import type { Backend } from "../backend/backend.js";
import { type DType, isFloat } from "../core/dtype.js";
import { DTypeError, listOf, TenonError } from "../core/errors.js";
import * as expr from "../core/expr.js";
import { broadcastShapes, type Shape } from "../core/shape.js";
import { GradNode, gradEnabled } from "./autograd.js";
import { converted, lane } from "./cast.js";
import { type Attrs, checkOnePerInput, type Op, type OpDefinition, type TensorSpec } from "./op.js";
import { Tensor } from "./tensor.js";

/** A row for given lane types and non-number attributes. Number attributes are scalars, in `scalarNames` order. */
interface Row {
  readonly program: expr.Program;
  readonly dtype: DType;
  readonly scalarNames: readonly string[];
  readonly derivatives: readonly (Derivative | undefined)[];
}

/** The gradient of one input: passed on, negated, or a program over the saved tensors and the gradient. */
type Derivative = { readonly factor: 1 | -1 } | { readonly program: expr.Program; readonly reads: readonly number[] };

const rows = new WeakMap<OpDefinition, Map<string, Row>>();

const laneDType = (type: expr.LaneType, inputs: readonly { dtype: DType }[]): DType => {
  if (type === "f32") return "float32";
  if (type === "bool") return "bool";
  const integers = inputs.filter((input) => lane(input.dtype) === "i32");
  return integers.length > 0 && integers.every((input) => input.dtype === "uint8") ? "uint8" : "int32";
};

function rowFor(op: Op, inputs: readonly { dtype: DType }[], attrs: Attrs): Row {
  let variants = rows.get(op.definition);
  if (variants === undefined) rows.set(op.definition, (variants = new Map()));
  let key = "";
  for (const input of inputs) key += `${input.dtype},`;
  if (op.definition.attrs)
    for (const name in attrs) key += `${name}=${typeof attrs[name] === "number" ? "#" : JSON.stringify(attrs[name])};`;
  let row = variants.get(key);
  if (row === undefined) variants.set(key, (row = buildRow(op, inputs, attrs)));
  return row;
}

function buildRow(op: Op, inputs: readonly { dtype: DType }[], attrs: Attrs): Row {
  const { definition } = op;
  const nodes = inputs.map((input, i) => expr.input(i, lane(input.dtype)));
  const scalarNames = Object.keys(attrs).filter((name) => typeof attrs[name] === "number");
  const given = Object.fromEntries(
    Object.entries(attrs).map(([name, value]) => [
      name,
      typeof value === "number" ? expr.scalar(scalarNames.indexOf(name)) : value,
    ]),
  );
  const value = expression(op, inputs, () => definition.expr!(nodes, given));
  const dtype = laneDType(value.type, inputs);
  const out = expr.input(inputs.length);
  const incoming = expr.input(inputs.length + 1);
  const derivatives = isFloat(dtype) ? definition.derivative?.(nodes, given, out) : undefined;
  if (derivatives) checkOnePerInput(op.name, "derivative", derivatives, inputs.length);
  return {
    program: expr.program(value),
    dtype,
    scalarNames,
    derivatives: inputs.map((input, i) => {
      const local = derivatives?.[i];
      if (local === undefined || !isFloat(input.dtype)) return undefined;
      if (local === 1 || local === -1) return { factor: local };
      return derivativeProgram(scaled(incoming, local));
    }),
  };
}

/** Builds an expression; one that does not exist for the lanes of these dtypes is refused in the op's name. */
function expression(op: Op, inputs: readonly { dtype: DType }[], build: () => expr.Expr): expr.Expr {
  try {
    return build();
  } catch (error) {
    if (!(error instanceof TenonError) || error.where !== "expr") throw error;
    const given = [...new Set(inputs.map((input) => input.dtype))];
    throw new DTypeError(`${op.name}: has no arithmetic in ${listOf(given)}.`, {
      where: op.name,
      hint: 'Convert first: x.to({ dtype: "float32" }) or "int32".',
      cause: error,
    });
  }
}

/** gradient * local, pushed into selections so that a branch of 0 stays 0 whatever the gradient is. */
function scaled(gradient: expr.Expr, local: expr.Expr | number): expr.Expr {
  if (typeof local === "number") return expr.mul(gradient, local);
  if (local.op === "const") return local.value === 1 ? gradient : local.value === 0 ? local : expr.mul(gradient, local);
  if (local.op === "select")
    return expr.select(local.args[0], scaled(gradient, local.args[1]), scaled(gradient, local.args[2]));
  return expr.mul(gradient, local);
}

/** Renumbers the inputs that a derivative reads to 0, 1, …, so that only those are saved. */
function derivativeProgram(root: expr.Expr): Derivative {
  const reads: number[] = [];
  const memo = new Map<expr.Expr, expr.Expr>();
  const renumber = (node: expr.Expr): expr.Expr => {
    let copy = memo.get(node);
    if (copy === undefined) {
      if (node.op === "input") {
        if (!reads.includes(node.value)) reads.push(node.value);
        copy = expr.input(reads.indexOf(node.value), node.type);
      } else {
        copy = { ...node, args: node.args.map(renumber) };
      }
      memo.set(node, copy);
    }
    return copy;
  };
  return { program: expr.program(renumber(root)), reads };
}

const scalarsOf = (row: Row, attrs: Attrs): number[] => row.scalarNames.map((name) => attrs[name] as number);

/** Shape and dtype of a row's value. */
export function outputShape(op: Op, inputs: readonly Tensor[], attrs: Attrs): TensorSpec {
  let shape: Shape = inputs[0].shape;
  for (let i = 1; i < inputs.length; i++) shape = broadcastShapes(op.name, shape, inputs[i].shape);
  return { shape, dtype: rowFor(op, inputs, attrs).dtype };
}

export function runRow(op: Op, backend: Backend, inputs: readonly Tensor[], output: Tensor, attrs: Attrs): void {
  const row = rowFor(op, inputs, attrs);
  backend.kernels.elementwise(row.program, inputs, [output], scalarsOf(row, attrs));
}

/** What a row saves, and its gradient rule. */
export function derivativeGrads(op: Op, inputs: readonly Tensor[], output: Tensor, attrs: Attrs) {
  const row = rowFor(op, inputs, attrs);
  const all = [...inputs, output];
  const positions = new Set<number>();
  inputs.forEach((input, i) => {
    const derivative = row.derivatives[i];
    if (!input.requiresGrad || !derivative || "factor" in derivative) return;
    for (const read of derivative.reads) if (read < all.length) positions.add(read);
  });
  const held: Tensor[] = [];
  for (const i of positions) held[i] = all[i].alias();
  const scalars = scalarsOf(row, attrs);
  const pullback = (grad: Tensor, needed: readonly boolean[]): (Tensor | undefined)[] =>
    row.derivatives.map((derivative, i) => {
      if (!needed[i] || !derivative) return undefined;
      if ("factor" in derivative) return derivative.factor === 1 ? grad : apply(negProgram, [grad], grad);
      const reads = derivative.reads.map((read) => (read === all.length ? grad : held[read]));
      return apply(derivative.program, reads, grad, scalars);
    });
  return { saved: Object.values(held), pullback };
}

const negProgram = expr.program(expr.neg(expr.input(0)));

/** Runs a program that gives a gradient like `grad`; one that is 0 everywhere reads nothing. */
function apply(
  program: expr.Program,
  inputs: readonly Tensor[],
  { backend, shape }: Tensor,
  scalars: readonly number[] = [],
): Tensor {
  const output = Tensor.empty(backend, shape, "float32");
  output.backend.kernels.elementwise(program, inputs, [output], scalars);
  return output;
}

/** A copy in another dtype, with its gradient: how the door promotes. The tensor itself where nothing changes. */
export function castTo(input: Tensor, dtype: DType): Tensor {
  if (input.dtype === dtype) return input;
  const output = converted(input, dtype);
  if (gradEnabled() && input.requiresGrad && isFloat(dtype)) {
    output.node = new GradNode("to", [input], [], 1, (grads) => grads);
  }
  return output;
}
