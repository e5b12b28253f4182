/**
 * What a user says of an op. A definition that could not run is refused; the functions of one that can are looked at each
 * time they give something, which those of the library need not be.
 */

import { dtypes, isDType } from "../core/dtype.js";
import { GradientError, kindOf, listOf, RegistryError, show, TenonError } from "../core/errors.js";
import { checkOptions, checkWord } from "../core/options.js";
import {
  type AttrSpec,
  type Attrs,
  checkedKernel,
  hasOp,
  type InputKind,
  type OpDefinition,
  type TensorSpec,
} from "../tensor/op.js";
import { Tensor } from "../tensor/tensor.js";

const fields: Readonly<Record<keyof OpDefinition, true>> = {
  name: true,
  version: true,
  doc: true,
  inputs: true,
  attrs: true,
  promotion: true,
  expr: true,
  derivative: true,
  infer: true,
  run: true,
  composition: true,
  backward: true,
  saves: true,
  mutates: true,
  deterministic: true,
  override: true,
};

const attrTypes: Readonly<Record<AttrSpec["type"], true>> = {
  number: true,
  integer: true,
  integers: true,
  boolean: true,
  string: true,
  object: true,
};

const kinds: Readonly<Record<InputKind, true>> = { float: true, int: true, number: true, bool: true, any: true };
const rules = ["expr", "derivative", "infer", "run", "composition", "backward"] as const;

/** The definition with its functions checked. Refuses one that could not run, or whose name is taken unless `override: true`. */
export function checkedDefinition<A extends Attrs>(definition: OpDefinition<A>): OpDefinition<A> {
  refuseDefinition(definition);
  const { name, expr, derivative, infer, run, composition, backward, saves } = definition;
  const kernel =
    run && checkedKernel(name, (inputs, outputs, attrs, kernels) => run(kernels, inputs, outputs, attrs as A));
  return {
    ...definition,
    ...(expr && {
      expr: (inputs, attrs) => {
        const value = expr(inputs, attrs);
        return isNode(value) ? value : refuseResult(name, "an expression", "expr", value, BUILD);
      },
    }),
    ...(derivative && {
      derivative: (inputs, attrs, out) => {
        const locals = derivative(inputs, attrs, out);
        if (!Array.isArray(locals)) return locals; // its caller says how many there have to be
        for (const local of locals) {
          if (local === undefined || isNode(local) || (typeof local === "number" && !Number.isNaN(local))) continue;
          refuseResult(name, "expressions, numbers or undefined", "derivative", local, BUILD);
        }
        return locals;
      },
    }),
    ...(infer && {
      infer: (inputs, attrs) => {
        const specs = infer(inputs, attrs);
        const given = Array.isArray(specs) ? specs.find((spec) => !isSpec(spec)) : specs;
        if (Array.isArray(specs) && specs.length > 0 && specs.every(isSpec)) return specs;
        const got = given?.shape ? `shape ${show(given.shape)} and dtype ${show(given.dtype)}` : kindOf(given);
        throw new RegistryError(`${name}: needs a list of { shape, dtype } from its infer, got ${got}.`, {
          where: name,
          hint: `Sizes are whole numbers from 0 up, dtypes ${listOf(Object.keys(dtypes))}.`,
        });
      },
    }),
    ...(kernel && { run: (kernels, inputs, outputs, attrs) => kernel(inputs, outputs, attrs, kernels) }),
    ...(composition && {
      composition: (inputs, attrs) => {
        const result = composition(inputs, attrs);
        const outputs: readonly unknown[] = Array.isArray(result) ? result : [result];
        const wrong = outputs.findIndex((output) => !(output instanceof Tensor));
        if (wrong < 0) return result;
        return refuseResult(name, "a tensor or a list of them", "composition", outputs[wrong], "It may not wait.");
      },
    }),
    ...(backward && {
      backward: (context) => {
        try {
          return backward(context);
        } catch (error) {
          // What an undefined input or output leads to; errors of shapes and dtypes speak for themselves.
          if (!(error instanceof TypeError) && (error as Error)?.constructor !== TenonError) throw error;
          const kept = (["inputs", "outputs"] as const).map((kind) => `${kind} [${(saves?.[kind] ?? []).join(", ")}]`);
          const message = (error as Error).message.replace(/\.$/, "");
          throw new GradientError(`${name}: its backward failed: ${message}.`, {
            where: name,
            hint: `It is given what saves names and nothing else: ${kept.join(" and ")}.`,
            cause: error,
          });
        }
      },
    }),
  };
}

const BUILD = "Build it with expr.mul, expr.exp and their kind; a constant is expr.constant(1).";

const isNode = (value: unknown): boolean => typeof value === "object" && value !== null && "op" in value;

const isSpec = (spec: TensorSpec | undefined): boolean =>
  Array.isArray(spec?.shape) &&
  spec.shape.every((size) => Number.isSafeInteger(size) && size >= 0) &&
  isDType(spec.dtype);

function refuseResult(name: string, expected: string, rule: string, got: unknown, hint: string): never {
  throw new RegistryError(`${name}: needs ${expected} from its ${rule}, got ${show(got)}.`, { where: name, hint });
}

function refuseDefinition(definition: OpDefinition<any>): void {
  if (typeof definition !== "object" || definition === null) {
    throw new RegistryError(`defineOp: needs a definition, got ${kindOf(definition)}.`, { where: "defineOp" });
  }
  checkOptions("defineOp", definition, Object.keys(fields));
  const { name, inputs, attrs = {}, expr, infer, run, composition, mutates, promotion = "none", override } = definition;
  const refuse = (problem: string, hint?: string): never => {
    throw new RegistryError(`defineOp: ${problem}`, { where: "defineOp", hint });
  };
  if (typeof name !== "string" || name === "") refuse(`needs a name, got ${JSON.stringify(name)}.`);
  if (hasOp(name) && !override)
    refuse(`the name "${name}" is taken.`, "Choose another name, or pass override: true to replace it.");
  if (!Array.isArray(inputs) || inputs.length === 0) refuse(`"${name}" needs at least one input.`);
  for (const input of inputs)
    if (typeof input !== "string")
      checkWord("defineOp", `the kind of ${show(input?.name)} of "${name}"`, input?.kind, Object.keys(kinds));
  checkWord("defineOp", `the promotion of "${name}"`, promotion, ["common", "float", "none"]);
  for (const rule of rules) {
    const given = definition[rule];
    if (given && typeof given !== "function") refuse(`"${name}" needs a function for ${rule}, got ${kindOf(given)}.`);
  }
  if (!expr && !infer && !composition) refuse(`"${name}" needs expr, infer with run or a kernel, or composition.`);
  if (run && !infer) refuse(`"${name}" has run but no infer.`, "infer gives the shapes and dtypes of the outputs.");
  if (mutates && promotion !== "none") refuse(`"${name}" mutates inputs, which promotion would copy.`);
  for (const [attr, spec] of Object.entries(attrs))
    checkWord("defineOp", `the type of "${attr}" of "${name}"`, spec?.type, Object.keys(attrTypes));
}
