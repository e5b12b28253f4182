/** Making tensors: from data, filled, in sequence, at random. */

import type { Backend, DeviceName } from "../backend/backend.js";
import { backendOf } from "../backend/devices.js";
import { Storage } from "../backend/storage.js";
import { byteSize, checkDType, type DType, dtypes, encode, isFloat, type NumericArray } from "../core/dtype.js";
import { DTypeError, ShapeError } from "../core/errors.js";
import { Generator, type RandomState, randomInteger, randomNormal } from "../core/random.js";
import { checkShape, type Shape, sizeOf } from "../core/shape.js";
import { Tensor } from "./tensor.js";

/** Numbers or booleans, nested to any depth, or a typed array. */
export type NestedData = number | boolean | readonly NestedData[] | ArrayLike<number>;

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

export const getDefaultDtype = (): DType => defaultDType;

function finish(value: Tensor, { requiresGrad }: TensorOptions): Tensor {
  if (requiresGrad) value.requiresGrad = true;
  return value;
}

/** Uploads a typed array whose element type is that of the dtype's storage. */
export function fromTyped(backend: Backend, data: NumericArray, shape: Shape, dtype: DType): Tensor {
  const storage = Storage.allocate(backend, byteSize(dtype, data.length));
  backend.write(storage.handle, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return new Tensor(storage, shape, dtype);
}

/** Converts numbers to a dtype's storage: floats are rounded, integers truncated. */
function toStorage(values: ArrayLike<number>, dtype: DType): NumericArray {
  const out = new dtypes[dtype].array(values.length);
  if (dtype === "float32" || dtype === "int32" || dtype === "uint8") {
    for (let i = 0; i < values.length; i++) out[i] = values[i];
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
 * A tensor from a number, nested lists or a typed array. The dtype, unless given: bool for booleans, int32 where a
 * typed array of integers says so, else the default float type. Ragged lists are refused with their place.
 */
export function tensor(data: NestedData, options: TensorOptions = {}): Tensor {
  const backend = backendOf(options.device);
  if (ArrayBuffer.isView(data)) {
    const typed = data as unknown as NumericArray;
    const natural = typedDTypes.find(([type]) => typed instanceof (type as new () => object))?.[1];
    if (natural === undefined) {
      throw new DTypeError(`tensor: cannot read a ${typed.constructor.name}.`, {
        where: "tensor",
        hint: "Convert it to Float32Array or Int32Array.",
      });
    }
    const dtype = options.dtype ? checkDType(options.dtype, "tensor") : natural;
    return finish(fromTyped(backend, toStorage(typed, dtype), [typed.length], dtype), options);
  }
  const shape: number[] = [];
  for (let level: NestedData = data; typeof level === "object"; level = (level as readonly NestedData[])[0] ?? 0)
    shape.push(level.length);
  const flat: number[] = [];
  let boolean = true;
  const visit = (value: NestedData, depth: number, path: string): void => {
    if (typeof value === "object" && value !== null) {
      if (depth >= shape.length || value.length !== shape[depth]) {
        throw new ShapeError(
          `tensor: needs lists of equal length, got ${value.length} at data${path} and ${shape[depth] ?? "a number"} before it.`,
          {
            where: "tensor",
            hint: "Pad the rows to one length.",
          },
        );
      }
      for (let i = 0; i < value.length; i++) visit((value as readonly NestedData[])[i], depth + 1, `${path}[${i}]`);
      return;
    }
    if (depth !== shape.length || (typeof value !== "number" && typeof value !== "boolean")) {
      throw new ShapeError(
        `tensor: needs numbers at depth ${shape.length}, got ${value === null ? "null" : typeof value} at data${path}.`,
        { where: "tensor" },
      );
    }
    if (typeof value !== "boolean") boolean = false;
    flat.push(Number(value));
  };
  visit(data, 0, "");
  const dtype = options.dtype
    ? checkDType(options.dtype, "tensor")
    : boolean && flat.length > 0
      ? "bool"
      : defaultDType;
  return finish(fromTyped(backend, toStorage(flat, dtype), shape, dtype), options);
}

/** A tensor of numbers in a given shape; takes over nothing. */
export function fromData(values: ArrayLike<number>, shape: Shape, options: TensorOptions = {}): Tensor {
  checkShape("fromData", shape);
  if (values.length !== sizeOf(shape)) {
    throw new ShapeError(
      `fromData: needs ${sizeOf(shape)} values for shape [${shape.join(", ")}], got ${values.length}.`,
      { where: "fromData" },
    );
  }
  const dtype = options.dtype ? checkDType(options.dtype, "fromData") : defaultDType;
  return finish(fromTyped(backendOf(options.device), toStorage(values, dtype), shape, dtype), options);
}

/** Every element is `value`. */
export function full(shape: Shape, value: number, options: TensorOptions = {}): Tensor {
  const dtype = options.dtype ? checkDType(options.dtype, "full") : defaultDType;
  const result = Tensor.empty(backendOf(options.device), [...checkShape("full", shape)], dtype);
  result.backend.kernels.fill(result, value);
  return finish(result, options);
}

export const zeros = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 0, options);
export const ones = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 1, options);
export const zerosLike = (like: Tensor, options: TensorOptions = {}): Tensor =>
  full(like.shape, 0, { dtype: like.dtype, device: like.device, ...options });
export const onesLike = (like: Tensor, options: TensorOptions = {}): Tensor =>
  full(like.shape, 1, { dtype: like.dtype, device: like.device, ...options });

/** start, start + step, … below `end`; with one argument from 0. int32 when all are integers, else the default float type. */
export function arange(start: number, end?: number, step = 1, options: TensorOptions = {}): Tensor {
  const [from, to] = end === undefined ? [0, start] : [start, end];
  if (step === 0) throw new ShapeError("arange: needs a step other than 0.", { where: "arange" });
  const count = Math.max(0, Math.ceil((to - from) / step));
  const integers = [from, to, step].every(Number.isInteger);
  const values = Float64Array.from({ length: count }, (_, i) => from + i * step);
  return fromData(values, [count], { dtype: integers ? "int32" : defaultDType, ...options });
}

/** The identity matrix, or its first `columns` columns. */
export function eye(rows: number, columns = rows, options: TensorOptions = {}): Tensor {
  const values = new Float32Array(rows * columns);
  for (let i = 0; i < Math.min(rows, columns); i++) values[i * columns + i] = 1;
  return fromData(values, [rows, columns], options);
}

/** The default generator: what `randn` and its kind use unless given another. */
const defaultGenerator = new Generator(0);

/** Sets the seed of the default generator and puts all its streams at their start. */
export function manualSeed(seed: number): void {
  defaultGenerator.setState({ seed, calls: {} });
}

export const getRngState = (): RandomState => defaultGenerator.getState();
export const setRngState = (state: RandomState): void => defaultGenerator.setState(state);
/** The default generator itself. */
export const getDefaultGenerator = (): Generator => defaultGenerator;

export interface RandomOptions extends TensorOptions {
  generator?: Generator;
  /** The stream to draw from. */
  stream?: string;
}

/** Uniform in [0, 1). */
export function rand(shape: Shape, options: RandomOptions = {}): Tensor {
  const { generator = defaultGenerator, stream = "rand" } = options;
  const result = Tensor.empty(backendOf(options.device), [...checkShape("rand", shape)], "float32");
  result.backend.kernels.randomUniform(result, generator.next(stream));
  return finish(result, options);
}

/** Standard normal; made on the host, so that all devices get the same bits. */
export function randn(shape: Shape, options: RandomOptions = {}): Tensor {
  const { generator = defaultGenerator, stream = "randn" } = options;
  return fromData(randomNormal(generator.next(stream), sizeOf(checkShape("randn", shape))), [...shape], options);
}

/** Integers from `low` up to but without `high`; unbiased. int32 unless told. */
export function randint(low: number, high: number, shape: Shape, options: RandomOptions = {}): Tensor {
  const { generator = defaultGenerator, stream = "randint" } = options;
  if (!(Number.isInteger(low) && Number.isInteger(high) && low < high && high - low <= 2 ** 32)) {
    throw new ShapeError(`randint: needs integers low < high, got ${low} and ${high}.`, { where: "randint" });
  }
  const call = generator.next(stream);
  const values = Float64Array.from(
    { length: sizeOf(checkShape("randint", shape)) },
    (_, i) => low + randomInteger(call, i, high - low),
  );
  return fromData(values, [...shape], { dtype: "int32", ...options });
}
