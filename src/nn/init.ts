/**
 * Initial values. They are made on the host in float64 from the random stream `init`, rounded once and uploaded, so
 * every device starts from the same bits. A model initialised by `initialize` draws each parameter from a stream keyed
 * by the parameter's name: the order of construction does not matter.
 */

import type { DeviceName } from "../backend/backend.js";
import { backendOf } from "../backend/devices.js";
import { dtypes, encode } from "../core/dtype.js";
import { ConfigError } from "../core/errors.js";
import { checkFinite, checkOptions, checkWord, refuseOption } from "../core/options.js";
import { checkGenerator, type Generator, type RandomCall, randomNormal, randomUniform } from "../core/random.js";
import { checkShape, type Shape } from "../core/shape.js";
import { checkTensors } from "../ops/define.js";
import { getDefaultGenerator } from "../tensor/create.js";
import { Parameter, Tensor } from "../tensor/tensor.js";
import { checkModule, type Module } from "./module.js";

/** Where the random numbers of a parameter come from, by its name within its module. */
export type InitialCalls = (parameter: string) => RandomCall;

const nextCall = (): RandomCall => getDefaultGenerator().next("init");

/** Overwrites a tensor with numbers made on the host: uniform in [low, high), or normal with a mean and a deviation. */
function draw(
  where: string,
  target: Tensor,
  make: typeof randomNormal,
  numbers: Readonly<Record<string, number>>,
  call = nextCall(),
): Tensor {
  checkTensors(where, { target });
  checkFinite(where, numbers);
  // A generator in its place would give the same numbers every time, whatever its seed.
  if (call.key0 === undefined) refuseOption(where, "call", "a random call", call);
  const [offset, second] = Object.values(numbers);
  const factor = make === randomUniform ? second - offset : second;
  const { dtype, size } = target;
  const x = make(call, size);
  const stored = dtype === "float32" ? x : new dtypes[dtype].array(size);
  for (let i = 0; i < size; i++) stored[i] = encode(dtype, offset + x[i] * factor);
  target.backend.write(target.storage.handle, new Uint8Array(stored.buffer, 0, stored.byteLength));
  target.storage.version++;
  return target;
}

function fill(where: string, target: Tensor, value: number): Tensor {
  checkTensors(where, { target });
  if (typeof value !== "number") refuseOption(where, "value", "a number", value);
  target.backend.kernels.fill(target, value);
  target.storage.version++;
  return target;
}

/** Every element becomes `value`. */
export const constant_ = (target: Tensor, value: number): Tensor => fill("constant_", target, value);
export const zeros_ = (target: Tensor): Tensor => fill("zeros_", target, 0);
export const ones_ = (target: Tensor): Tensor => fill("ones_", target, 1);

/** Uniform in [low, high). */
export function uniform_(target: Tensor, options: { low?: number; high?: number; call?: RandomCall } = {}): Tensor {
  checkOptions("uniform_", options, ["low", "high", "call"]);
  const { low = 0, high = 1, call } = options;
  return draw("uniform_", target, randomUniform, { low, high }, call);
}

/** Normal with this mean and standard deviation. */
export function normal_(target: Tensor, options: { mean?: number; std?: number; call?: RandomCall } = {}): Tensor {
  checkOptions("normal_", options, ["mean", "std", "call"]);
  const { mean = 0, std = 1, call } = options;
  return draw("normal_", target, randomNormal, { mean, std }, call);
}

/** How many inputs and outputs each element of a weight connects: weights are [out, in, …window], or [in, out]. */
export function fans(shape: Shape, inOut = false, where = "fans"): { fanIn: number; fanOut: number } {
  if (shape.length < 2) {
    throw new ConfigError(`${where}: needs a weight of at least 2 dims, got ${shape.length}.`, {
      where,
      hint: "Give vectors constants, or bounds of their own with uniform_() or normal_().",
    });
  }
  const window = shape.slice(2).reduce((a, b) => a * b, 1);
  const [fanOut, fanIn] = [shape[0] * window, shape[1] * window];
  return inOut ? { fanIn: fanOut, fanOut: fanIn } : { fanIn, fanOut };
}

const gains = {
  linear: () => 1,
  sigmoid: () => 1,
  tanh: () => 5 / 3,
  relu: () => Math.SQRT2,
  leakyRelu: (a: number) => Math.sqrt(2 / (1 + a * a)),
};

/** What follows the layer; it sets the gain that keeps the scale of signals. */
export type Nonlinearity = keyof typeof gains;

function gainOf(where: string, nonlinearity: Nonlinearity, a: number): number {
  checkWord(where, "nonlinearity", nonlinearity, Object.keys(gains));
  return gains[nonlinearity](a);
}

/** PyTorch's recommended gain: 1 for linear and sigmoid, 5/3 for tanh, sqrt(2 / (1 + a^2)) for (leaky) relu. */
export const gain = (nonlinearity: Nonlinearity, a = 0): number => gainOf("gain", nonlinearity, a);

export interface KaimingOptions {
  /** Slope of the leaky relu. */
  a?: number;
  /** Keep the scale of the forward (`fanIn`) or of the backward pass. */
  mode?: "fanIn" | "fanOut";
  nonlinearity?: Nonlinearity;
  /** The weight is [in, out]. */
  inOut?: boolean;
  call?: RandomCall;
}

function kaimingStd(where: string, target: Tensor, options: KaimingOptions): number {
  checkTensors(where, { target });
  checkOptions(where, options, ["a", "mode", "nonlinearity", "inOut", "call"]);
  const { a = 0, mode = "fanIn", nonlinearity = "leakyRelu", inOut } = options;
  checkFinite(where, { a });
  checkWord(where, "mode", mode, ["fanIn", "fanOut"]);
  return gainOf(where, nonlinearity, a) / Math.sqrt(fans(target.shape, inOut, where)[mode]);
}

export interface XavierOptions {
  gain?: number;
  /** The weight is [in, out]. */
  inOut?: boolean;
  call?: RandomCall;
}

function xavierStd(where: string, target: Tensor, options: XavierOptions): number {
  checkTensors(where, { target });
  checkOptions(where, options, ["gain", "inOut", "call"]);
  const { gain = 1, inOut } = options;
  checkFinite(where, { gain });
  const { fanIn, fanOut } = fans(target.shape, inOut, where);
  return gain * Math.sqrt(2 / (fanIn + fanOut));
}

const normal = (where: string, target: Tensor, std: number, { call }: { call?: RandomCall }): Tensor =>
  draw(where, target, randomNormal, { mean: 0, std }, call);

function uniform(where: string, target: Tensor, std: number, { call }: { call?: RandomCall }): Tensor {
  const high = Math.sqrt(3) * std;
  return draw(where, target, randomUniform, { low: -high, high }, call);
}

/** He et al. 2015: normal with standard deviation gain / sqrt(fan). */
export const kaimingNormal_ = (target: Tensor, options: KaimingOptions = {}): Tensor =>
  normal("kaimingNormal_", target, kaimingStd("kaimingNormal_", target, options), options);

/** He et al. 2015: uniform within sqrt(3) * gain / sqrt(fan) of 0. */
export const kaimingUniform_ = (target: Tensor, options: KaimingOptions = {}): Tensor =>
  uniform("kaimingUniform_", target, kaimingStd("kaimingUniform_", target, options), options);

/** Glorot and Bengio 2010: normal with standard deviation gain * sqrt(2 / (fanIn + fanOut)). */
export const xavierNormal_ = (target: Tensor, options: XavierOptions = {}): Tensor =>
  normal("xavierNormal_", target, xavierStd("xavierNormal_", target, options), options);

/** Glorot and Bengio 2010: uniform within gain * sqrt(6 / (fanIn + fanOut)) of 0. */
export const xavierUniform_ = (target: Tensor, options: XavierOptions = {}): Tensor =>
  uniform("xavierUniform_", target, xavierStd("xavierUniform_", target, options), options);

/** The initial value of one parameter of a model, by its full name. */
export type InitialRule = (name: string, parameter: Parameter, call: RandomCall) => void;

export interface Gpt2RuleOptions {
  std?: number;
  /** Weights that end a residual branch. */
  residual?: RegExp;
}

/**
 * Radford et al. 2019: weights normal with standard deviation 0.02, divided by sqrt(2 * layers) where they end a
 * residual branch; biases 0; vectors that scale (norm weights) 1.
 */
export function gpt2Rule(layers: number, options: Gpt2RuleOptions = {}): InitialRule {
  checkOptions("gpt2Rule", options, ["std", "residual"]);
  const { std = 0.02, residual = /c_proj\.weight$/ } = options;
  return (name, parameter, call) => {
    if (name.endsWith("bias")) zeros_(parameter);
    else if (parameter.ndim === 1) ones_(parameter);
    else normal_(parameter, { std: residual.test(name) ? std / Math.sqrt(2 * layers) : std, call });
  };
}

export interface InitializeOptions {
  /** The default generator unless given. */
  generator?: Generator;
  /** Replaces what the modules do by themselves. */
  rule?: InitialRule;
}

/** Gives every parameter of a model its initial value, a function of the generator's seed and the parameter's name alone. */
export function initialize(model: Module, options: InitializeOptions = {}): void {
  checkModule("initialize", model);
  checkOptions("initialize", options, ["generator", "rule"]);
  const { generator = getDefaultGenerator(), rule } = options;
  checkGenerator("initialize", generator);
  if (rule && typeof rule !== "function") refuseOption("initialize", "rule", "a function", rule);
  const callOf = (name: string) => generator.at(`init/${name}`, 0);
  if (rule) {
    for (const [name, parameter] of model.namedParameters()) rule(name, parameter, callOf(name));
    return;
  }
  // Backwards, so that a tied parameter ends with the values of its first name.
  for (const [prefix, module] of [...model.namedModules()].reverse()) {
    module.resetParameters((name) => callOf(prefix === "" ? name : `${prefix}.${name}`));
  }
}

let deferred = false;

/** Builds modules without giving parameters any values: for models whose values are loaded or set by `initialize`. */
export function deferInit<M extends Module>(build: () => M): M {
  if (typeof build !== "function") refuseOption("deferInit", "build", "a function", build);
  const before = deferred;
  deferred = true;
  try {
    return build();
  } finally {
    deferred = before;
  }
}

/** For constructors of modules: the initial values of a module that stands alone, in order of construction. */
export function initializeAlone(module: Module): void {
  if (!deferred) module.resetParameters(nextCall);
}

/** An uninitialised float32 parameter. */
export const parameter = (shape: Shape, device?: DeviceName): Parameter =>
  new Parameter(Tensor.empty(backendOf(device), [...checkShape("parameter", shape)], "float32"));
