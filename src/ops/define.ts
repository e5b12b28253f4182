/** `defineOp`, and how numbers beside tensors become 0-d tensors. */

import { backendOf } from "../backend/devices.js";
import { type DType, dtypes, scalarType } from "../core/dtype.js";
import { ConfigError, DeviceError, DTypeError, IndexError, ShapeError, type TenonError } from "../core/errors.js";
import { fromTyped, getDefaultDtype, toStorage } from "../tensor/create.js";
import { dispatch, refuseInput } from "../tensor/dispatch.js";
import { type Attrs, type InputSpec, type Op, type OpDefinition, registerOp } from "../tensor/op.js";
import { Tensor } from "../tensor/tensor.js";
import { checkedDefinition } from "./definition.js";

/** What ops take for a tensor: one, or a number or boolean, which becomes a 0-d tensor on the same device. */
export type TensorLike = Tensor | number | boolean;

/** A call on tensors and plain numbers. */
export function call(op: Op, inputs: readonly (TensorLike | undefined)[], attrs?: Attrs): readonly Tensor[] {
  let made: Tensor[] | undefined;
  let lifted = inputs as (Tensor | undefined)[];
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    if (typeof input !== "number" && typeof input !== "boolean") continue;
    if (made === undefined) {
      made = [];
      lifted = [...lifted];
    }
    const beside = inputs.find(
      (other, j): other is Tensor => other instanceof Tensor && (j > 0 || op.spec(0).kind !== "bool"),
    );
    const fallback = inputs.find((other): other is Tensor => other instanceof Tensor);
    const dtype = beside
      ? scalarType(input, op.definition.promotion === "float" ? "float32" : beside.dtype, getDefaultDtype())
      : typeof input === "boolean"
        ? "bool"
        : getDefaultDtype();
    made.push((lifted[i] = scalar(op.name, Number(input), dtype, fallback)));
  }
  let outputs: readonly Tensor[] = [];
  try {
    outputs = dispatch(op, lifted, attrs);
    return outputs;
  } finally {
    if (made) for (const scalar of made) if (!outputs.includes(scalar)) scalar.dispose();
  }
}

/** For functions that look at shapes before they call an op: refuses what is no tensor, a plain array for example. */
export function checkTensors(where: string, given: Readonly<Record<string, unknown>>): void {
  for (const name in given) if (!(given[name] instanceof Tensor)) refuseInput(where, name, given[name]);
}

/** Runs the pieces of a function under its name: what they refuse is reported as the function's own. */
export function named<T>(name: string, pieces: () => T): T {
  try {
    return pieces();
  } catch (error) {
    const refusal = [ShapeError, DTypeError, DeviceError, IndexError, ConfigError].some(
      (kind) => error instanceof kind,
    );
    throw refusal ? (error as TenonError).under(name) : error;
  }
}

/** A 0-d tensor beside another, on its device; a number that its dtype cannot hold is refused. */
const scalar = (name: string, value: number, dtype: DType, beside: Tensor | undefined): Tensor =>
  fromTyped(beside?.backend ?? backendOf(), toStorage(name, [value], dtype), [], dtype);

/** A function that runs an op: inputs in order, then optionally an object of attributes. */
export interface OpFunction {
  (...args: (TensorLike | undefined | Attrs)[]): any;
  readonly op: Op;
}

/**
 * Defines an op and returns the function that runs it. The function gives one tensor, or an array where the op has
 * several outputs. Refuses a name that is taken unless `override: true`.
 */
export function defineOp<A extends Attrs>(definition: OpDefinition<A>): OpFunction {
  const op = registerOp(checkedDefinition(definition));
  const run = (...args: (TensorLike | undefined | Attrs)[]) => {
    const last = args[args.length - 1];
    const hasAttrs = typeof last === "object" && last !== null && !(last instanceof Tensor || Array.isArray(last));
    const outputs = call(
      op,
      (hasAttrs ? args.slice(0, -1) : args) as TensorLike[],
      hasAttrs ? (last as Attrs) : undefined,
    );
    return outputs.length === 1 ? outputs[0] : outputs;
  };
  return Object.assign(run, { op });
}

/** An input that is a factor of a product: 16-bit floats will do. */
export const factor = (name: string): InputSpec => ({ name, kind: "float", stored: true });

/** A weight with which there is arithmetic: of 16-bit floats their float32. */
export const withArithmetic = (weight: Tensor): Tensor =>
  dtypes[weight.dtype].arithmetic ? weight : weight.to({ dtype: "float32" });

type Row<A extends Attrs> = Omit<OpDefinition<A>, "name" | "doc" | "inputs">;

/** A row of one input. */
export function unary<A extends Attrs = Attrs>(
  name: string,
  doc: string,
  row: Row<A>,
): (x: TensorLike, options?: A) => Tensor {
  const op = registerOp({ name, doc, inputs: ["x"], promotion: "float", ...row });
  if (row.attrs) return (x, options) => call(op, [x], options)[0];
  // All that is given goes to the door, which refuses what is too much.
  return (...inputs: unknown[]) => call(op, inputs as TensorLike[])[0];
}

/** A row of two inputs that broadcast. */
export function binary(name: string, doc: string, row: Row<Attrs>): (a: TensorLike, b: TensorLike) => Tensor {
  const op = registerOp({ name, doc, inputs: ["a", "b"], promotion: "common", ...row });
  return (...inputs: TensorLike[]) => call(op, inputs)[0];
}
