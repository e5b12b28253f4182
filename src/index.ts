/** `tenon`: tensors with gradients, ops, devices. */
import { setWarningListener } from "./core/warnings.js";

export type { BackendInfo, DeviceName } from "./backend/backend.js";
export { capabilities, type InitOptions, init, memory } from "./backend/devices.js";
export type { Kernels, Operand } from "./backend/kernels.js";
export { type Capabilities, describeCapabilities, type MemoryReport } from "./backend/report.js";
export type { DType } from "./core/dtype.js";
export { promoteTypes } from "./core/dtype.js";
export {
  ConfigError,
  DataError,
  DeterminismError,
  DeviceError,
  DisposedError,
  DTypeError,
  type ErrorDetails,
  FormatError,
  GradientError,
  IndexError,
  MemoryBudgetError,
  NumericsError,
  RegistryError,
  RunError,
  ShapeError,
  TenonError,
} from "./core/errors.js";
export * as expr from "./core/expressions.js";
export { Generator, type RandomState } from "./core/random.js";
export { setWarningListener, type Warning, type WarningListener } from "./core/warnings.js";
export * from "./models/index.js";
export * from "./ops/index.js";
export { type BackwardOptions, grad, noGrad } from "./tensor/autograd.js";
export {
  arange,
  eye,
  fromData,
  full,
  getDefaultDtype,
  getDefaultGenerator,
  getRngState,
  manualSeed,
  ones,
  onesLike,
  type RandomOptions,
  rand,
  randint,
  randn,
  setDefaultDtype,
  setRngState,
  type TensorOptions,
  tensor,
  zeros,
  zerosLike,
} from "./tensor/create.js";
export { type Interceptor, intercept, type OpCall } from "./tensor/dispatch.js";
export type { NestedData } from "./tensor/nested.js";
export {
  getOp,
  type Kernel,
  listOps,
  type Op,
  type OpDefinition,
  type OpDescription,
  registerKernel,
} from "./tensor/op.js";
export { type RunOptions, run } from "./tensor/run.js";
export { tidy } from "./tensor/scope.js";
export { Parameter, Tensor } from "./tensor/tensor.js";
export { traceAllocations } from "./tensor/trace.js";
export type { NestedArray } from "./tensor/transfer.js";
export { train } from "./train.js";

// The entry point wires warnings to the console; init({ onWarning }) and setWarningListener take them elsewhere.
setWarningListener(({ code, message }) => console.warn(`tenon: ${message} [${code}]`));
