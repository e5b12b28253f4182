/** Making tensors: from data, filled, in sequence, at random. */

import type { Backend, DeviceName } from "../backend/backend.js";
import { backendOf } from "../backend/devices.js";
import { Storage } from "../backend/storage.js";
import { DefaultGenerator } from "../core/determinism.js";
import { checkDType, type DType, dtypes, encode, isFloat, type NumericArray } from "../core/dtype.js";
import {
  ConfigError,
  DTypeError,
  kindOf,
  MemoryBudgetError,
  ShapeError,
  show,
  showShape,
  TenonError,
} from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { checkGenerator, type Generator, type RandomState, randomInteger, randomNormal } from "../core/random.js";
import { checkShape, type Shape, sizeOf } from "../core/shape.js";
import { converted } from "./cast.js";
import { flatten, type NestedData } from "./nested.js";
import { Tensor } from "./tensor.js";

/** How a tensor is made. */
export interface TensorOptions {
  dtype?: DType;
  device?: DeviceName;
  requiresGrad?: boolean;
}

let defaultDType: DType = "float32";

/** The dtype of float data whose dtype is not given; float32 at the start. */
export function setDefaultDtype(dtype: DType): void {
  if (!isFloat(checkDType(dtype, "setDefaultDtype"))) {
    throw new DTypeError(`setDefaultDtype: needs a float dtype, got ${dtype}.`, { where: "setDefaultDtype" });
  }
  defaultDType = dtype;
}

/** The dtype of float data whose dtype is not given. */
export const getDefaultDtype = (): DType => defaultDType;

const optionNames = ["dtype", "device", "requiresGrad", "generator", "stream"];

/** Refuses what no tensor could be made of, before anything is allocated. The dtype that was asked for, or `natural`. */
function resolveDType(where: string, options: TensorOptions, natural: DType): DType {
  if (typeof options === "number") {
    throw new ConfigError(`${where}: needs its shape as one list, got another number after it: ${options}.`, {
      where,
      hint: "For example [2, 3]; options are an object.",
    });
  }
  checkOptions(where, options, optionNames);
  const dtype = options.dtype === undefined ? natural : checkDType(options.dtype, where);
  if (options.requiresGrad && !isFloat(dtype)) {
    throw new DTypeError(`${where}: needs a float dtype for requiresGrad, got ${dtype}.`, { where });
  }
  return dtype;
}

function finish(value: Tensor, { requiresGrad }: TensorOptions): Tensor {
  if (requiresGrad) value.requiresGrad = true;
  return value;
}

/** Uploads a typed array whose element type is that of the dtype's storage. */
export function fromTyped(backend: Backend, data: NumericArray, shape: Shape, dtype: DType): Tensor {
  const storage = Storage.allocate(backend, shape, dtype);
  backend.write(storage.handle, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return new Tensor(storage, shape, dtype);
}

const integerRange = { int32: [-(2 ** 31), 2 ** 31 - 1], uint8: [0, 255] } as const;

/** Converts numbers to a dtype's storage: floats are rounded, fractions cut off; integers that do not fit are refused. */
export function toStorage(where: string, values: ArrayLike<number>, dtype: DType): NumericArray {
  const out = new dtypes[dtype].array(values.length);
  if (dtype === "float32") {
    for (let i = 0; i < values.length; i++) out[i] = values[i];
  } else if (dtype === "int32" || dtype === "uint8") {
    const [low, high] = integerRange[dtype];
    for (let i = 0; i < values.length; i++) {
      const whole = Math.trunc(values[i]);
      if (!(whole >= low && whole <= high)) {
        throw new DTypeError(`${where}: needs values from ${low} to ${high} for ${dtype}, got ${values[i]} at ${i}.`, {
          where,
          position: i,
          hint: "Use a wider dtype, or float32.",
        });
      }
      out[i] = whole;
    }
  } else {
    for (let i = 0; i < values.length; i++) out[i] = encode(dtype, values[i]);
  }
  return out;
}

const typedDTypes: readonly [unknown, DType][] = [
  [Float32Array, "float32"],
  [Float64Array, "float32"],
  [Int32Array, "int32"],
  [Uint32Array, "int32"],
  [Int16Array, "int32"],
  [Uint16Array, "int32"],
  [Int8Array, "int32"],
  [Uint8Array, "uint8"],
  [Uint8ClampedArray, "uint8"],
];

/**
 * A tensor from a number, nested lists or a typed array. The dtype, unless given: bool for booleans, int32 or uint8
 * where a typed array of integers says so, else the default float type. Ragged lists are a ShapeError with their place,
 * integers that do not fit a DTypeError.
 */
export function tensor(data: NestedData, options: TensorOptions = {}): Tensor {
  if (ArrayBuffer.isView(data)) {
    const typed = data as unknown as NumericArray;
    const natural = typedDTypes.find(([type]) => typed instanceof (type as new () => object))?.[1];
    if (natural === undefined) {
      throw new DTypeError(`tensor: cannot read a ${typed.constructor.name}.`, {
        where: "tensor",
        hint: "Convert it to Float32Array or Int32Array.",
      });
    }
    return made("tensor", [typed.length], options, natural, () => typed);
  }
  const { shape, flat, boolean } = flatten(data);
  return made("tensor", shape, options, boolean ? "bool" : defaultDType, () => flat);
}

/** A tensor to be filled; errors of its memory name who makes it. */
function empty(where: string, shape: Shape, dtype: DType, { device }: TensorOptions): Tensor {
  const backend = backendOf(device);
  backend.operation = where;
  try {
    return Tensor.empty(backend, [...shape], dtype);
  } catch (error) {
    throw error instanceof MemoryBudgetError ? error.under(where) : error;
  }
}

/** A tensor of numbers that are made once there is memory: what no device holds would be a RangeError of the host's. */
function made(
  where: string,
  shape: Shape,
  options: TensorOptions,
  natural: DType,
  values: () => ArrayLike<number>,
): Tensor {
  const dtype = resolveDType(where, options, natural);
  const result = empty(where, checkShape(where, shape), dtype, options);
  try {
    const { buffer, byteOffset, byteLength } = toStorage(where, values(), dtype);
    result.backend.write(result.storage.handle, new Uint8Array(buffer, byteOffset, byteLength));
  } catch (error) {
    result.dispose();
    throw error;
  }
  return finish(result, options);
}

/** A tensor of numbers in a given shape; takes over nothing. `where` is who asks, for messages. */
export function fromData(
  values: ArrayLike<number>,
  shape: Shape,
  options: TensorOptions = {},
  where = "fromData",
): Tensor {
  checkShape(where, shape);
  if (values?.length !== sizeOf(shape)) {
    throw new ShapeError(
      `${where}: needs ${sizeOf(shape)} values for shape ${showShape(shape)}, got ${values?.length ?? kindOf(values)}.`,
      { where },
    );
  }
  return made(where, shape, options, defaultDType, () => values);
}

/** Every element is `value`. The dtype, unless given: bool for a boolean, else the default float type. */
export function full(shape: Shape, value: number | boolean, options: TensorOptions = {}): Tensor {
  return filled("full", shape, value, options);
}

function filled(where: string, shape: Shape, value: number | boolean, options: TensorOptions): Tensor {
  if (typeof value !== "number" && typeof value !== "boolean") {
    throw new DTypeError(`${where}: needs a number or a boolean for value, got ${kindOf(value)}.`, { where });
  }
  const dtype = resolveDType(where, options, typeof value === "boolean" ? "bool" : defaultDType);
  toStorage(where, [Number(value)], dtype);
  const result = empty(where, checkShape(where, shape), dtype, options);
  result.backend.kernels.fill(result, Number(value));
  return finish(result, options);
}

/** A tensor of zeros; the default float type unless the options say otherwise. */
export const zeros = (shape: Shape, options: TensorOptions = {}): Tensor => filled("zeros", shape, 0, options);
/** A tensor of ones; the default float type unless the options say otherwise. */
export const ones = (shape: Shape, options: TensorOptions = {}): Tensor => filled("ones", shape, 1, options);

const filledLike =
  (where: string, value: number) =>
  (like: Tensor, options: TensorOptions = {}): Tensor => {
    if (!(like instanceof Tensor)) {
      throw new TenonError(`${where}: needs a tensor, got ${kindOf(like)}.`, { where });
    }
    checkOptions(where, options, optionNames);
    const { dtype = like.dtype, device = like.device } = options;
    return filled(where, like.shape, value, { ...options, dtype, device });
  };

/** Zeros of the shape, dtype and device of another tensor. */
export const zerosLike = filledLike("zerosLike", 0);
/** Ones of the shape, dtype and device of another tensor. */
export const onesLike = filledLike("onesLike", 1);

/** start, start + step, … below `end`; with one argument from 0. int32 when all are integers, else the default float type. */
export function arange(start: number, end?: number, step = 1, options: TensorOptions = {}): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end];
  if (![from, to, step].every(Number.isFinite) || step === 0) {
    throw new ShapeError(
      `arange: needs finite ends and a step other than 0, got ${show(from)}, ${show(to)} and ${show(step)}.`,
      { where: "arange", hint: "In full: arange(start, end, step, options)." },
    );
  }
  const count = Math.max(0, Math.ceil((to - from) / step));
  const integers = [from, to, step].every(Number.isInteger);
  return made("arange", [count], options, integers ? "int32" : defaultDType, () => {
    const values = new Float64Array(count);
    for (let i = 0; i < count; i++) values[i] = from + i * step;
    return values;
  });
}

/** The identity matrix, or its first `columns` columns. */
export function eye(rows: number, columns = rows, options: TensorOptions = {}): Tensor {
  return made("eye", [rows, columns], options, defaultDType, () => {
    const values = new Float32Array(rows * columns);
    for (let i = 0; i < Math.min(rows, columns); i++) values[i * columns + i] = 1;
    return values;
  });
}

/** The default generator: what `randn` and its kind use unless given another. */
const defaultGenerator = new DefaultGenerator(0);

/** Sets the seed of the default generator and puts all its streams at their start. */
export function manualSeed(seed: number): void {
  defaultGenerator.setState({ seed, calls: {} });
}

/** The state of the default generator: a small record that JSON can hold. */
export const getRngState = (): RandomState => defaultGenerator.getState();
/** Takes the default generator back to a state: what it draws from here on is what it drew from there on. */
export const setRngState = (state: RandomState): void => defaultGenerator.setState(state);
/** The default generator itself. */
export const getDefaultGenerator = (): DefaultGenerator => defaultGenerator;

/** How a random tensor is made, and by which generator. */
export interface RandomOptions extends TensorOptions {
  generator?: Generator;
  /** The stream to draw from. */
  stream?: string;
}

/** The dtype of a random tensor. What can be refused is refused here, before the stream moves on. */
function checkRandom(where: string, shape: Shape, options: RandomOptions, natural: DType): DType {
  const dtype = resolveDType(where, options, natural);
  checkGenerator(where, options.generator);
  checkShape(where, shape);
  backendOf(options.device);
  return dtype;
}

/** Uniform in [0, 1); floats of 16 bits are rounded, so that 1 is among them. The default float type unless told. */
export function rand(shape: Shape, options: RandomOptions = {}): Tensor {
  const dtype = checkRandom("rand", shape, options, defaultDType);
  const { generator = defaultGenerator, stream = "rand" } = options;
  if (!isFloat(dtype)) {
    throw new DTypeError(`rand: makes floats, got ${dtype}.`, {
      where: "rand",
      hint: "Take randint(low, high, shape) for integers.",
    });
  }
  const uniform = empty("rand", shape, "float32", options);
  uniform.backend.kernels.randomUniform(uniform, generator.next(stream));
  if (dtype === "float32") return finish(uniform, options);
  const result = converted(uniform, dtype);
  uniform.dispose();
  return finish(result, options);
}

/** Standard normal, of the default float type unless told; made on the host, so that all devices get the same bits. */
export function randn(shape: Shape, options: RandomOptions = {}): Tensor {
  checkRandom("randn", shape, options, defaultDType);
  const { generator = defaultGenerator, stream = "randn" } = options;
  return made("randn", shape, options, defaultDType, () => randomNormal(generator.next(stream), sizeOf(shape)));
}

/** Integers from `low` up to but without `high`; unbiased. int32 unless told. */
export function randint(low: number, high: number, shape: Shape, options: RandomOptions = {}): Tensor {
  if (!(Number.isInteger(low) && Number.isInteger(high) && low < high && high - low <= 2 ** 32)) {
    throw new ShapeError(`randint: needs integers low < high, got ${show(low)} and ${show(high)}.`, {
      where: "randint",
      hint: "In full: randint(low, high, shape, options).",
    });
  }
  const dtype = checkRandom("randint", shape, options, "int32");
  toStorage("randint", [low, high - 1], dtype);
  const { generator = defaultGenerator, stream = "randint" } = options;
  return made("randint", shape, options, "int32", () => {
    const call = generator.next(stream);
    const values = new Float64Array(sizeOf(shape));
    for (let i = 0; i < values.length; i++) values[i] = low + randomInteger(call, i, high - low);
    return values;
  });
}
