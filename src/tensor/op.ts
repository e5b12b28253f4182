/**
 * Operations: what `defineOp` takes, the registry, and the signature checks. An op says its rule (shapes, kernel call
 * or composition, local gradient); `dispatch` does the rest. Built-in and user ops come through the same call.
 */

import type { Kernels, Operand, Split } from "../backend/kernels.js";
import type { DType } from "../core/dtype.js";
import { ConfigError, GradientError, kindOf, listOf, nearest, oneWordOf, RegistryError, show } from "../core/errors.js";
import type { Expr } from "../core/expr.js";
import { checkOptions, checkWord, refuseOption } from "../core/options.js";
import type { Shape } from "../core/shape.js";
import type { Tensor } from "./tensor.js";

export type AttrValue = number | boolean | string | readonly number[] | undefined | null | object;
export type Attrs = Readonly<Record<string, AttrValue>>;

/**
 * Which dtypes an input takes. `any` is every dtype, storage-only floats included; `number` is all that has arithmetic;
 * `int` is for positions and labels: int32, into which uint8 is converted.
 */
export type InputKind = "float" | "int" | "number" | "bool" | "any";

export interface InputSpec {
  readonly name: string;
  readonly kind: InputKind;
  readonly optional?: boolean;
  /** Takes all remaining inputs. */
  readonly variadic?: boolean;
  /**
   * May be a 16-bit float: of factors of products, and tables, which a device's kernels read as they lie (elsewhere they
   * are widened before the call); `widened` of small weights, of which no kernel does.
   */
  readonly stored?: boolean | "widened";
}

export interface AttrSpec {
  readonly type: "number" | "integer" | "integers" | "boolean" | "string" | "object";
  readonly default?: AttrValue;
  readonly optional?: boolean;
  /** Allowed values of a string. */
  readonly values?: readonly string[];
}

export interface TensorSpec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What a gradient rule is given. Saved inputs and outputs are tensors without history; the rest is absent. */
export interface BackwardContext<A extends Attrs = Attrs> {
  readonly grads: readonly (Tensor | undefined)[];
  /** The first gradient: for ops with one output. */
  readonly grad: Tensor;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly shapes: readonly Shape[];
  readonly attrs: A;
  /** Does input i need a gradient? */
  needs(i: number): boolean;
}

/**
 * How dtypes of inputs are brought together before the kernel: `common` promotes all to one type; `float` does and
 * turns integers into the default float type; `none` leaves each as it is (the signature says what is allowed).
 */
export type Promotion = "common" | "float" | "none";

/** What `defineOp` takes: docs/custom-ops.md shows a row, a composition and a kernel. */
export interface OpDefinition<A extends Attrs = Attrs> {
  readonly name: string;
  /** Raised when results change. */
  readonly version?: number;
  /** One sentence: what it computes. */
  readonly doc: string;
  /** Inputs in order; a bare string is a `number` input of that name. */
  readonly inputs: readonly (string | InputSpec)[];
  readonly attrs?: Readonly<Record<string, AttrSpec>>;
  readonly promotion?: Promotion;
  /** Elementwise rows: the value as an expression of the inputs; number attributes arrive as scalar nodes. */
  readonly expr?: (inputs: readonly Expr[], attrs: Readonly<Record<string, any>>) => Expr;
  /**
   * Rows: d(value)/d(input i), one per input (`undefined` where it is zero everywhere, or the input is no float); the
   * engine multiplies by the incoming gradient. `out` is the value itself.
   */
  readonly derivative?: (
    inputs: readonly Expr[],
    attrs: Readonly<Record<string, any>>,
    out: Expr,
  ) => readonly (Expr | number | undefined)[];
  /** Shapes and dtypes of the outputs; throws ShapeError. Not for rows, whose inputs broadcast. */
  readonly infer?: (inputs: readonly TensorSpec[], attrs: A) => readonly TensorSpec[];
  /** Fills the outputs with the backend's kernels. */
  readonly run?: (kernels: Kernels, inputs: readonly Operand[], outputs: readonly Operand[], attrs: A) => void;
  /** The meaning as other ops; used where neither `run` nor a registered kernel applies. */
  readonly composition?: (inputs: readonly Tensor[], attrs: A) => Tensor | readonly Tensor[];
  /** Gradients of the inputs in order; without it, gradients flow through the composition or not at all. */
  readonly backward?: (context: BackwardContext<A>) => readonly (Tensor | undefined)[];
  /** What `backward` reads: positions of inputs and outputs. Nothing else is kept. */
  readonly saves?: { readonly inputs?: readonly number[]; readonly outputs?: readonly number[] };
  /** Positions of inputs that are written to; of variadic ones as a function of how many inputs there are. */
  readonly mutates?: readonly number[] | ((inputs: number) => readonly number[]);
  /** False where two runs may differ. */
  readonly deterministic?: boolean;
  /** Replace an op of the same name instead of refusing. */
  readonly override?: boolean;
}

/** A kernel that a user registers for one op and device: reads inputs, writes outputs. */
export type Kernel = (inputs: readonly Operand[], outputs: readonly Operand[], attrs: Attrs, kernels: Kernels) => void;

/** Names that kernels take as a string: one that no device knows would run another reduction, or none. */
const KINDS = { reduce: ["sum", "prod", "max", "min"], argReduce: ["argmax", "argmin"] } as const;

/** A kernel of a user's: where what it does ends in a TypeError, which has its reason in what kernels take, its op is named. */
export function checkedKernel(op: string, kernel: Kernel): Kernel {
  return (inputs, outputs, attrs, kernels) => {
    const checked = Object.create(kernels);
    for (const name of ["reduce", "argReduce"] as const)
      checked[name] = (kind: never, ...rest: [Operand, Operand, Split]) => {
        checkWord(op, `the kind of ${name}`, kind, KINDS[name]);
        kernels[name](kind, ...rest);
      };
    try {
      kernel(inputs, outputs, attrs, checked);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new RegistryError(`${op}: its kernel failed: ${error.message.replace(/\.$/, "")}.`, {
        where: op,
        hint: "The type Kernels says what each is given.",
        cause: error,
      });
    }
  };
}

/** A defined op. Its functions hold this object, so that `override: true` replaces what they run. */
export class Op {
  readonly name: string;
  definition!: OpDefinition<any>;
  inputs!: readonly InputSpec[];
  /** Does it take positions or labels, which are int32? */
  readsPositions!: boolean;
  /** Does it take 16-bit floats? */
  readsStored!: boolean;
  /** Kernels registered by device; they come before `run`. */
  readonly kernels = new Map<string, Kernel>();
  private options!: readonly string[];
  private required!: number;
  private most!: number;

  constructor(definition: OpDefinition<any>) {
    this.name = definition.name;
    this.define(definition);
  }

  /** Takes a definition, in place of an earlier one and of the kernels registered for that. */
  define(definition: OpDefinition<any>): void {
    this.definition = definition;
    this.kernels.clear();
    this.inputs = definition.inputs.map((input) =>
      typeof input === "string" ? { name: input, kind: "number" } : input,
    );
    this.options = Object.keys(definition.attrs ?? {});
    this.readsPositions = this.inputs.some((input) => input.kind === "int");
    this.readsStored = this.inputs.some((input) => Boolean(input.stored));
    this.required = this.inputs.filter((input) => !input.optional && !input.variadic).length;
    this.most = this.inputs.some((input) => input.variadic) ? Number.POSITIVE_INFINITY : this.inputs.length;
  }

  get differentiable(): boolean {
    const { derivative, backward, composition } = this.definition;
    return Boolean(derivative || backward || composition);
  }

  /** Positions of those of `count` inputs that are written to. */
  mutated(count: number): readonly number[] {
    const { mutates = [] } = this.definition;
    return typeof mutates === "function" ? mutates(count) : mutates;
  }

  spec(i: number): InputSpec {
    return this.inputs[Math.min(i, this.inputs.length - 1)];
  }

  checkArity(count: number): void {
    if (count >= this.required && count <= this.most) return;
    const names = this.inputs.map((input) => `${input.variadic ? "..." : ""}${input.name}${input.optional ? "?" : ""}`);
    throw new RegistryError(`${this.name}: needs inputs (${names.join(", ")}), got ${count}.`, {
      where: this.name,
      hint: `A method's first input is its tensor; options: ${listOf(this.options)}.`,
    });
  }

  /** Attributes with defaults filled in; unknown names and wrong types are refused. */
  completeAttrs(given: Attrs): Attrs {
    checkOptions(this.name, given, this.options);
    const specs = this.definition.attrs!;
    const attrs: Record<string, AttrValue> = {};
    for (const name of this.options) {
      const value = given[name] ?? specs[name].default;
      if (value === undefined) {
        if (specs[name].optional) continue;
        throw new ConfigError(`${this.name}: needs the option ${name} (${specs[name].type}).`, { where: this.name });
      }
      checkAttr(this.name, name, specs[name], value);
      attrs[name] = value;
    }
    return attrs;
  }
}

function checkAttr(op: string, name: string, spec: AttrSpec, value: AttrValue): void {
  const { type, values } = spec;
  const ok =
    type === "integer"
      ? Number.isSafeInteger(value)
      : type === "integers"
        ? Array.isArray(value) && value.every((item) => Number.isSafeInteger(item))
        : type === "object"
          ? true
          : typeof value === type && (values === undefined || values.includes(value as string));
  if (ok) return;
  const expected = values
    ? `one of ${oneWordOf(values)}`
    : type === "integers"
      ? "a list of integers"
      : `${type === "integer" ? "an" : "a"} ${type}`;
  refuseOption(op, name, expected, value);
}

/** A gradient that is left out would be taken for zero. */
export function checkOnePerInput(op: string, rule: "derivative" | "backward", given: unknown, inputs: number): void {
  if (Array.isArray(given) && given.length === inputs) return;
  const got = Array.isArray(given) ? given.length : kindOf(given);
  throw new GradientError(`${op}: needs a list from its ${rule}, one for each of its inputs (${inputs}), got ${got}.`, {
    where: op,
    hint: "undefined stands for a gradient that is zero everywhere.",
  });
}

const registry = new Map<string, Op>();

/** Is there an op of this name? */
export const hasOp = (name: string): boolean => registry.has(name);

/** Adds an op to the registry, in place of one of the same name. Users come through `defineOp`, which checks first. */
export function registerOp<A extends Attrs = any>(definition: OpDefinition<A>): Op {
  const { name } = definition;
  const known = registry.get(name);
  if (known) known.define(definition);
  const op = known ?? new Op(definition);
  registry.set(name, op);
  return op;
}

/** Runs an op's composition; its result as a list. */
export function compositionOutputs(op: Op, inputs: readonly Tensor[], attrs: Attrs): readonly Tensor[] {
  const result = op.definition.composition!(inputs, attrs);
  return Array.isArray(result) ? result : [result as Tensor];
}

/** The op of a name; an unknown name is an error that suggests the nearest. */
export function getOp(name: string): Op {
  const op = registry.get(name);
  if (op) return op;
  const near = typeof name === "string" ? nearest(name, registry.keys()) : undefined;
  throw new RegistryError(`getOp: there is no op ${show(name)}.`, {
    where: "getOp",
    hint: near ? `Did you mean "${near}"?` : "listOps() names them all.",
  });
}

/** Gives an op a kernel on one device. A kernel that exists is refused unless `override: true`. */
export function registerKernel(
  name: string,
  device: string,
  kernel: Kernel,
  options: { override?: boolean } = {},
): void {
  checkOptions("registerKernel", options, ["override"]);
  const { override = false } = options;
  const op = getOp(name);
  if (typeof kernel !== "function") {
    throw new RegistryError(`registerKernel: needs a function for ${name}, got ${kindOf(kernel)}.`, {
      where: "registerKernel",
    });
  }
  if (!["reference", "cpu", "webgpu"].includes(device)) {
    throw new RegistryError(`registerKernel: unknown device "${device}".`, {
      where: "registerKernel",
      hint: "Devices are reference, cpu and webgpu.",
    });
  }
  const { run, expr, infer } = op.definition;
  if (!expr && !infer) {
    throw new RegistryError(`registerKernel: ${name} has no infer, so its kernel would not know what to fill.`, {
      where: "registerKernel",
      hint: "Give infer to defineOp: the shapes and dtypes of the outputs.",
    });
  }
  if ((op.kernels.has(device) || run || expr) && !override) {
    throw new RegistryError(`registerKernel: ${name} has a kernel for ${device}.`, {
      where: "registerKernel",
      hint: "Pass { override: true } to replace it.",
    });
  }
  op.kernels.set(device, checkedKernel(name, kernel));
  kernelsGiven++;
}

/** Grows when an op is given a kernel: what was computed by then may be computed otherwise. */
export let kernelsGiven = 0;

/** What `listOps` tells of an op. */
export interface OpDescription {
  name: string;
  version: number;
  doc: string;
  signature: string;
  devices: string[];
  differentiable: boolean;
}

/** Every op: name, version, signature, devices, differentiability. */
export function listOps(): OpDescription[] {
  return [...registry.values()].map((op) => {
    const { version = 1, doc, attrs = {}, run, expr, composition } = op.definition;
    const inputs = op.inputs.map(
      (input) => `${input.variadic ? "..." : ""}${input.name}${input.optional ? "?" : ""}: ${input.kind}`,
    );
    const options = Object.entries(attrs).map(
      ([name, spec]) =>
        `${name}${spec.default === undefined ? "" : ` = ${typeof spec.default === "number" ? spec.default : JSON.stringify(spec.default)}`}`,
    );
    const everywhere = Boolean(run || expr || composition);
    return {
      name: op.name,
      version,
      doc,
      signature: `(${inputs.join(", ")}${options.length ? `, { ${options.join(", ")} }` : ""})`,
      devices: everywhere ? ["reference", "cpu", "webgpu"] : [...op.kernels.keys()],
      differentiable: op.differentiable,
    };
  });
}
