/**
 * The one door. Every operation passes `dispatch`, in this order: check, policy, promote, choose, record, observe.
 * Interceptors see each call with its module path and may ask for its pieces; with none installed they cost one test.
 */

import type { Backend } from "../backend/backend.js";
import { notDeterministic } from "../core/determinism.js";
import { type DType, dtypes, isFloat, promoteTypes } from "../core/dtype.js";
import {
  DeviceError,
  DTypeError,
  GradientError,
  IndexError,
  kindOf,
  listOf,
  MemoryBudgetError,
  RegistryError,
  TenonError,
} from "../core/errors.js";
import { gradEnabled, noGrad } from "./autograd.js";
import { castTo, outputShape, runRow } from "./elementwise.js";
import { type Attrs, compositionOutputs, type Op, type TensorSpec } from "./op.js";
import { record } from "./record.js";
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
/** The path of the module whose `forward` runs; only errors and observers ask for it. */
let currentModulePath = () => "";

/** Installs an interceptor, innermost last; returns the function that removes it. */
export function intercept(interceptor: Interceptor): () => void {
  if (typeof interceptor !== "function") {
    throw new TenonError(`intercept: needs a function (call, next), got ${kindOf(interceptor)}.`, {
      where: "intercept",
    });
  }
  interceptors.push(interceptor);
  return () => {
    const at = interceptors.lastIndexOf(interceptor);
    if (at >= 0) interceptors.splice(at, 1);
  };
}

/** Notes which interceptors there are; the function returned removes all that came since. */
export function holdInterceptors(): () => void {
  const before = [...interceptors];
  return () => void interceptors.splice(0, interceptors.length, ...before);
}

/** Does anybody look on? */
export const observed = (): boolean => interceptors.length > 0;

/** Runs a module's forward under its path; an error that leaves it says where it arose. */
export function inModule<T>(path: () => string, fn: () => T): T {
  const before = currentModulePath;
  currentModulePath = path;
  try {
    return fn();
  } catch (error) {
    if (error instanceof TenonError && error.modulePath === undefined && path() !== "") error.inModule(path());
    throw error;
  } finally {
    currentModulePath = before;
  }
}

const noAttrs: Attrs = Object.freeze({});

/** Runs an op on tensors (`undefined` for absent optional ones). Returns its outputs. */
export function dispatch(op: Op, inputs: readonly (Tensor | undefined)[], given: Attrs = noAttrs): readonly Tensor[] {
  if (interceptors.length === 0) return perform(op, inputs, given);
  const call: OpCall = { op, inputs, attrs: given, modulePath: currentModulePath(), parent: currentCall };
  const present = [...interceptors]; // one may remove itself meanwhile
  const chain = (at: number): readonly Tensor[] => {
    if (at < present.length) return present[at](call, () => chain(at + 1));
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

/** `dispatch` for ops of whose outputs users see the first. The others serve the gradient; without one they go at once. */
export function dispatchOne(op: Op, inputs: readonly (Tensor | undefined)[], attrs?: Attrs): Tensor {
  const [output, ...others] = dispatch(op, inputs, attrs);
  if (!output.requiresGrad && !observed()) for (const other of others) other.dispose();
  return output;
}

type Inputs = readonly (Tensor | undefined)[];

function perform(op: Op, given: Inputs, givenAttrs: Attrs): readonly Tensor[] {
  op.checkArity(given.length);
  if (op.definition.deterministic === false) notDeterministic(op.name, "Two runs of this operation may differ.");
  const attrs = op.completeAttrs(givenAttrs);
  const backend = checkInputs(op, given);
  checkMutation(op, given);
  const inputs = promote(op, backend, given);
  if (inputs === given) return choose(op, backend, inputs, attrs);
  let outputs: readonly Tensor[] = [];
  try {
    outputs = choose(op, backend, inputs, attrs);
    return outputs;
  } finally {
    inputs.forEach((input, i) => {
      if (input && input !== given[i] && !outputs.includes(input)) input.dispose();
    });
  }
}

/** Runs the registered kernel, else the row or `run`, else the composition. */
function choose(op: Op, backend: Backend, inputs: Inputs, attrs: Attrs): readonly Tensor[] {
  const { definition } = op;
  const kernel = op.kernels.get(backend.device);
  if (!definition.expr && !definition.run && !kernel) return compose(op, inputs as readonly Tensor[], attrs);

  const specs: readonly TensorSpec[] = definition.expr
    ? [outputShape(op, inputs as readonly Tensor[], attrs)]
    : definition.infer!(inputs as readonly Tensor[], attrs);
  const outputs: Tensor[] = [];
  try {
    for (const { shape, dtype } of specs) outputs.push(Tensor.empty(backend, shape, dtype));
    backend.operation = op.name;
    if (kernel) kernel(inputs as readonly Tensor[], outputs, attrs, backend.kernels);
    else if (definition.expr) runRow(op, backend, inputs as readonly Tensor[], outputs[0], attrs);
    else definition.run!(backend.kernels, inputs as readonly Tensor[], outputs, attrs);
  } catch (error) {
    for (const output of outputs) output.dispose();
    // Kernels that several ops share know only their own names, and memory knows none.
    throw error instanceof IndexError || error instanceof MemoryBudgetError ? error.under(op.name) : error;
  }
  if (definition.mutates) for (const i of op.mutated(inputs.length)) inputs[i]!.storage.version++;
  if (gradEnabled()) record(op, inputs, outputs, attrs);
  return outputs;
}

function checkMutation(op: Op, inputs: Inputs): void {
  if (!gradEnabled()) return;
  for (const i of op.mutated(inputs.length)) {
    if (!inputs[i]!.requiresGrad) continue;
    throw new GradientError(`${op.name}: a tensor that requires a gradient may be written only under noGrad().`, {
      where: op.name,
      hint: `Wrap the call: noGrad(() => …).`,
    });
  }
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
  if (!backward) return compositionOutputs(op, inputs, attrs);
  const outputs = noGrad(() => compositionOutputs(op, inputs, attrs)).map((output) =>
    inputs.includes(output) ? output.alias() : output,
  );
  if (gradEnabled()) record(op, inputs, outputs, attrs);
  return outputs;
}

/** Refuses what stands where a tensor should. */
export function refuseInput(where: string, name: string, input: unknown): never {
  throw new TenonError(`${where}: needs a tensor for ${name}, got ${kindOf(input)}.`, {
    where,
    hint: input === undefined ? undefined : "Make one with tensor(data).",
  });
}

function checkInputs(op: Op, inputs: Inputs): Backend {
  let backend: Backend | undefined;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i];
    const spec = op.spec(i);
    if (input === undefined) {
      if (spec.optional) continue;
      refuseInput(op.name, spec.name, input);
    }
    if (!(input instanceof Tensor)) refuseInput(op.name, spec.name, input);
    const own = input.storage.backend;
    if (backend === undefined) {
      backend = own;
    } else if (own !== backend) {
      const earlier = own.device === backend.device ? " (opened anew by init() since)" : "";
      throw new DeviceError(
        `${op.name}: needs all inputs on one device, got ${backend.device} and ${own.device}${earlier}.`,
        {
          where: op.name,
          devices: [backend.device, own.device],
          hint: `Move one: ${own.device === "webgpu" ? `await ${spec.name}.toDevice("${backend.device}")` : `${spec.name}.to({ device: "${backend.device}" })`}.`,
        },
      );
    }
    checkKind(op, input.dtype, i);
  }
  if (backend === undefined) throw new TenonError(`${op.name}: needs at least one tensor.`, { where: op.name });
  return backend;
}

function checkKind(op: Op, dtype: DType, i: number): void {
  const { name, kind, stored } = op.spec(i);
  if (kind === "any") return;
  const info = dtypes[dtype];
  if (!info.arithmetic && !(stored && info.kind === "float")) {
    throw new DTypeError(`${op.name}: has no arithmetic in ${dtype}, which is a storage type.`, {
      where: op.name,
      hint: `Convert ${name} first: x.to({ dtype: "float32" }).`,
    });
  }
  const promoted = op.definition.promotion === "float" && kind === "float";
  if (kind === "number" || promoted || kind === info.kind) return;
  const hint =
    kind === "bool"
      ? "Compare it first, e.g. x.ne(0)."
      : `Convert it: x.to({ dtype: "${kind === "int" ? "int32" : "float32"}" }).`;
  throw new DTypeError(
    `${op.name}: needs ${kind === "int" ? "an int32" : `a ${kind}`} tensor for ${name}, got ${dtype}.`,
    {
      where: op.name,
      hint,
      got: dtype,
    },
  );
}

/**
 * Brings dtypes together as the op says; positions and labels (`int`) are always int32; 16-bit weights become float32
 * where the device does not read them. Returns `inputs` itself if all fit.
 */
function promote(op: Op, { storedWeights = [] }: Backend, inputs: Inputs): Inputs {
  const { promotion = "none" } = op.definition;
  if (promotion === "none" && !op.readsPositions && !op.readsStored) return inputs;
  if (inputs.every((input) => input?.dtype === "float32")) return inputs; // the common case, quickly
  const takesPart = (i: number) => promotion !== "none" && op.spec(i).kind !== "bool" && op.spec(i).kind !== "int";
  let common: DType | undefined;
  inputs.forEach((input, i) => {
    if (input && takesPart(i)) common = common === undefined ? input.dtype : promoteTypes(common, input.dtype);
  });
  if (promotion === "float" && common && !isFloat(common)) common = "float32";
  const target = ({ dtype }: Tensor, i: number): DType => {
    if (takesPart(i)) return common!;
    const { kind, stored } = op.spec(i);
    if (kind === "int") return "int32";
    if (!stored || dtypes[dtype].arithmetic) return dtype;
    return stored !== "widened" && storedWeights.includes(dtype) ? dtype : "float32";
  };
  const fits = (input: Tensor | undefined, i: number) => !input || input.dtype === target(input, i);
  return inputs.every(fits) ? inputs : inputs.map((input, i) => input && castTo(input, target(input, i)));
}
