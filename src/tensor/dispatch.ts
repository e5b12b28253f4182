/**
 * The one door. Every operation passes `dispatch`, in this order: check, policy, promote, choose, record, observe.
 * Interceptors see each call with its module path and may ask for its pieces; with none installed they cost one test.
 */

import type { Backend } from "../backend/backend.js";
import { type DType, dtypes, isFloat, promoteTypes } from "../core/dtype.js";
import { DeviceError, DTypeError, listOf, RegistryError, TenonError } from "../core/errors.js";
import { GradNode, gradEnabled, noGrad } from "./autograd.js";
import { castTo, derivativeGrads, outputShape, runRow } from "./elementwise.js";
import type { Attrs, Op, TensorSpec } from "./op.js";
import { Tensor } from "./tensor.js";

/** One call as observers see it. */
export interface OpCall {
  readonly op: Op;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attrs: Attrs;
  /** Path of the module that is running, e.g. `model.layers.3.mlp`; empty outside modules. */
  readonly modulePath: string;
  /** The call of which this one is a piece. */
  readonly parent: OpCall | undefined;
}

/** Wraps calls: run `next()` to go on; what it returns is the result. */
export type Interceptor = (call: OpCall, next: () => readonly Tensor[]) => readonly Tensor[];

const interceptors: Interceptor[] = [];
let currentCall: OpCall | undefined;
let currentModulePath = "";

/** Installs an interceptor, innermost last; returns the function that removes it. */
export function intercept(interceptor: Interceptor): () => void {
  interceptors.push(interceptor);
  return () => {
    const at = interceptors.lastIndexOf(interceptor);
    if (at >= 0) interceptors.splice(at, 1);
  };
}

/** The path of the module whose `forward` runs. */
export const modulePath = (): string => currentModulePath;

/** Runs a module's forward under its path; an error that leaves it says where it arose. */
export function inModule<T>(path: string, fn: () => T): T {
  const before = currentModulePath;
  currentModulePath = path;
  try {
    return fn();
  } catch (error) {
    if (error instanceof TenonError && path !== "") error.inModule(path);
    throw error;
  } finally {
    currentModulePath = before;
  }
}

const noAttrs: Attrs = Object.freeze({});

/** Runs an op on tensors (`undefined` for absent optional ones). Returns its outputs. */
export function dispatch(op: Op, inputs: readonly (Tensor | undefined)[], given: Attrs = noAttrs): readonly Tensor[] {
  if (interceptors.length === 0) return perform(op, inputs, given);
  const call: OpCall = { op, inputs, attrs: given, modulePath: currentModulePath, parent: currentCall };
  const chain = (at: number): readonly Tensor[] => {
    if (at < interceptors.length) return interceptors[at](call, () => chain(at + 1));
    const before = currentCall;
    currentCall = call;
    try {
      return perform(op, inputs, given);
    } finally {
      currentCall = before;
    }
  };
  return chain(0);
}

/** `dispatch` for ops with one output. */
export const dispatchOne = (op: Op, inputs: readonly (Tensor | undefined)[], attrs?: Attrs): Tensor =>
  dispatch(op, inputs, attrs)[0];

function perform(op: Op, given: readonly (Tensor | undefined)[], givenAttrs: Attrs): readonly Tensor[] {
  const { definition } = op;
  op.checkArity(given.length);
  const attrs = op.completeAttrs(givenAttrs);
  const backend = checkInputs(op, given);
  const inputs = promote(op, given);
  const kernel = op.kernels.get(backend.device);
  if (!definition.expr && !definition.run && !kernel) return compose(op, inputs as readonly Tensor[], attrs);

  const specs: readonly TensorSpec[] = definition.expr
    ? [outputShape(op, inputs as readonly Tensor[], attrs)]
    : definition.infer!(inputs as readonly Tensor[], attrs);
  const outputs = specs.map(({ shape, dtype }) => Tensor.empty(backend, shape, dtype));
  try {
    if (kernel) kernel(inputs as readonly Tensor[], outputs, attrs, backend.kernels);
    else if (definition.expr) runRow(op, backend, inputs as readonly Tensor[], outputs[0], attrs);
    else definition.run!(backend.kernels, inputs as readonly Tensor[], outputs, attrs);
  } catch (error) {
    for (const output of outputs) output.dispose();
    throw error;
  }
  if (definition.mutates) for (const i of definition.mutates) markMutated(op, inputs[i]!);
  if (gradEnabled() && (definition.derivative || definition.backward)) record(op, inputs, outputs, attrs);
  return outputs;
}

function markMutated(op: Op, tensor: Tensor): void {
  if (tensor.requiresGrad && gradEnabled()) {
    throw new TenonError(`${op.name}: a tensor that requires a gradient may be written only under noGrad().`, {
      where: op.name,
    });
  }
  tensor.storage.version++;
}

function compose(op: Op, inputs: readonly Tensor[], attrs: Attrs): readonly Tensor[] {
  const { composition, backward } = op.definition;
  if (!composition) {
    const devices = [...op.kernels.keys()];
    throw new RegistryError(`${op.name}: has no kernel on ${inputs[0]?.device ?? "this device"} and no composition.`, {
      where: op.name,
      hint: devices.length
        ? `It has kernels on ${listOf(devices)}.`
        : `Give it one with registerKernel("${op.name}", device, kernel).`,
    });
  }
  const asList = (result: Tensor | readonly Tensor[]) => (result instanceof Tensor ? [result] : result);
  if (!backward) return asList(composition(inputs, attrs));
  const outputs = asList(noGrad(() => composition(inputs, attrs)));
  if (gradEnabled()) record(op, inputs, outputs, attrs);
  return outputs;
}

function checkInputs(op: Op, inputs: readonly (Tensor | undefined)[]): Backend {
  let backend: Backend | undefined;
  let first: Tensor | undefined;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    const spec = op.spec(i);
    if (input === undefined) {
      if (spec.optional) continue;
      throw new TenonError(`${op.name}: needs a tensor for ${spec.name}, got undefined.`, { where: op.name });
    }
    if (!(input instanceof Tensor)) {
      throw new TenonError(`${op.name}: needs a tensor for ${spec.name}, got ${typeof input}.`, {
        where: op.name,
        hint: "Make one with tensor(data).",
      });
    }
    const own = input.storage.backend;
    if (backend === undefined) {
      backend = own;
      first = input;
    } else if (own !== backend) {
      throw new DeviceError(`${op.name}: needs all inputs on one device, got ${backend.device} and ${own.device}.`, {
        where: op.name,
        devices: [first!.device, own.device],
        hint: `Move one: x.to({ device: "${backend.device}" }).`,
      });
    }
    checkKind(op, input.dtype, i);
  }
  if (backend === undefined) throw new TenonError(`${op.name}: needs at least one tensor.`, { where: op.name });
  return backend;
}

function checkKind(op: Op, dtype: DType, i: number): void {
  const { name, kind } = op.spec(i);
  if (kind === "any") return;
  const info = dtypes[dtype];
  if (!info.arithmetic) {
    throw new DTypeError(`${op.name}: has no arithmetic in ${dtype}, which is a storage type.`, {
      where: op.name,
      hint: `Convert ${name} first: x.to({ dtype: "float32" }).`,
    });
  }
  const promoted = op.definition.promotion === "float" && kind === "float";
  if (kind === "number" || promoted || kind === info.kind) return;
  const hint =
    kind === "float"
      ? `Convert it: x.to({ dtype: "float32" }).`
      : kind === "int"
        ? `Convert it: x.to({ dtype: "int32" }).`
        : "Compare it first, e.g. x.ne(0).";
  throw new DTypeError(`${op.name}: needs a ${kind} tensor for ${name}, got ${dtype}.`, {
    where: op.name,
    hint,
    got: dtype,
  });
}

function promote(op: Op, inputs: readonly (Tensor | undefined)[]): readonly (Tensor | undefined)[] {
  const { promotion = "none" } = op.definition;
  if (promotion === "none") return inputs;
  let common: DType | undefined;
  const takesPart = (i: number) => op.spec(i).kind !== "bool" && op.spec(i).kind !== "int";
  inputs.forEach((input, i) => {
    if (input && takesPart(i)) common = common === undefined ? input.dtype : promoteTypes(common, input.dtype);
  });
  if (promotion === "float" && !isFloat(common!)) common = "float32";
  const stays = (input: Tensor | undefined, i: number) => !input || input.dtype === common || !takesPart(i);
  return inputs.every(stays) ? inputs : inputs.map((input, i) => (stays(input, i) ? input : castTo(input!, common!)));
}

function record(op: Op, inputs: readonly (Tensor | undefined)[], outputs: readonly Tensor[], attrs: Attrs): void {
  if (!inputs.some((input) => input?.requiresGrad)) return;
  const { derivative, backward, saves } = op.definition;
  const targets = outputs.filter((output) => isFloat(output.dtype));
  if (targets.length === 0) return;
  const needs = (i: number) => inputs[i]?.requiresGrad === true;
  const needed = inputs.map((_, i) => needs(i));
  const shapes = inputs.map((input) => input?.shape ?? []);
  const results = outputs.map(({ shape, dtype, backend }) => ({ shape, dtype, backend }));
  let node: GradNode;
  if (derivative) {
    const rule = derivativeGrads(op, inputs as readonly Tensor[], outputs[0], attrs);
    node = new GradNode(op.name, inputs, rule.saved, results, ([grad]) => (grad ? rule.pullback(grad, needed) : []));
  } else {
    const saved: Tensor[] = [];
    const hold = (tensors: readonly (Tensor | undefined)[], positions: readonly number[] = []) => {
      const held: Tensor[] = [];
      for (const i of positions) {
        const tensor = tensors[i];
        if (tensor) saved.push((held[i] = tensor.alias()));
      }
      return held;
    };
    const heldInputs = hold(inputs, saves?.inputs);
    const heldOutputs = hold(outputs, saves?.outputs);
    node = new GradNode(op.name, inputs, saved, results, (grads) =>
      backward!({
        grads,
        get grad() {
          return grads[0]!;
        },
        inputs: heldInputs,
        outputs: heldOutputs,
        shapes,
        attrs,
        needs: (i) => needed[i],
      }),
    );
  }
  outputs.forEach((output, i) => {
    if (!isFloat(output.dtype)) return;
    output.node = node;
    output.outputIndex = i;
  });
}
