/** The weights of any module as a safetensors file, and back. */

import { asArray, FILE_DTYPES, type TensorBytes } from "../artifacts/dtypes.js";
import { readSafetensors } from "../artifacts/safetensors.js";
import { safetensorsChunks, type TensorsToWrite, weightsHash } from "../artifacts/safetensors-write.js";
import { type DType, isDType } from "../core/dtype.js";
import { ConfigError, DTypeError, kindOf } from "../core/errors.js";
import type { HostTensor, LoadReport, StateValue } from "../nn/index.js";
import { checkModule, Module } from "../nn/module.js";
import type { Tensor } from "../tensor/tensor.js";

/** Dtypes as the format spells them. */
const fileNames = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int32: "I32",
  uint8: "U8",
  bool: "BOOL",
} as const;

/** Values of a safetensors file (each in the array of its dtype), or tensors, by weight name. */
export type Weights = Readonly<
  Record<string, StateValue | { dtype: string; shape: readonly number[]; data: TensorBytes }>
>;

/**
 * Parameters and buffers of a module, or tensors by name (the moments of an optimizer's state), as a safetensors file, in
 * the one canonical form: its SHA-256 is `hashWeights`. For a language model with its config and tokenizer see `save`.
 */
export async function saveWeights(from: Module | Readonly<Record<string, Tensor>>): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const tensors = from instanceof Module ? from.stateDict() : byName("saveWeights", from);
  for await (const piece of safetensorsChunks(tensorsToWrite(tensors))) pieces.push(piece.slice());
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/**
 * Copies the values of a safetensors file into a module, converting dtypes. Unless `strict: false`, a missing or unknown
 * name is a ConfigError; a wrong shape always is a ShapeError. Nothing is written before all is checked.
 */
export const loadWeights = (
  module: Module,
  file: Uint8Array | ArrayBuffer,
  options: { strict?: boolean } = {},
): LoadReport => {
  checkModule("loadWeights", module);
  return module.loadStateDict(stateValues(readSafetensors(file, "loadWeights").tensors), options);
};

/** The same, unless it is no object of values by name. */
function byName<Values extends object>(where: string, values: Values): Values {
  if (typeof values === "object" && values !== null && !Array.isArray(values)) return values;
  throw new ConfigError(`${where}: needs tensors by name, got ${kindOf(values)}.`, { where });
}

/** A state as entries of a safetensors file; data are read when their turn comes. */
export function tensorsToWrite(state: Readonly<Record<string, Tensor>>): TensorsToWrite {
  return Object.fromEntries(
    Object.entries(state).map(([name, tensor]) => {
      const dtype = fileNames[tensor.dtype];
      return [name, { dtype, shape: tensor.shape, data: async () => asArray(dtype, await tensor.bytes()) }];
    }),
  );
}

/** SHA-256 of the canonical `model.safetensors` of a module: what `sha256sum` prints for the saved file. */
export async function hashWeights(model: Module): Promise<string> {
  checkModule("hashWeights", model);
  return weightsHash(tensorsToWrite(model.stateDict()));
}

/** Tensors of a safetensors file (`readSafetensors(file).tensors`) as the `loadStateDict` of modules and optimizers takes them. */
export const stateValues = (tensors: Readonly<Record<string, unknown>>): Record<string, StateValue> =>
  Object.fromEntries(
    Object.entries(byName("stateValues", tensors)).map(([name, value]) => [name, hostTensor(name, value)]),
  );

/** Values of a file as the module takes them. I64 and F64 are narrowed where every value fits. */
function hostTensor(name: string, value: unknown): StateValue {
  if (typeof value !== "object" || value === null || !("dtype" in value)) {
    throw new ConfigError(`${name}: needs a tensor or { dtype, shape, data }, got ${kindOf(value)}.`, { where: name });
  }
  const { dtype, shape, data } = value as { dtype: string; shape: number[]; data: TensorBytes };
  if (isDType(dtype)) return value as StateValue;
  const own = Object.keys(fileNames).find((name) => fileNames[name as DType] === dtype);
  if (own) return { dtype: own, shape, data } as unknown as HostTensor;
  if (dtype === "F64" || dtype === "I64") {
    const { array } = FILE_DTYPES[dtype];
    if (!(data instanceof array)) {
      throw new DTypeError(`${name}: needs a ${array.name} for ${dtype}, got ${kindOf(data)}.`, { where: name });
    }
    const wide = Array.from(data as ArrayLike<number | bigint>, Number);
    const narrow = dtype === "F64" ? Float32Array.from(wide) : Int32Array.from(wide);
    const fits = wide.every((x, i) =>
      dtype === "F64" ? Number.isNaN(x) || Number.isFinite(narrow[i]) === Number.isFinite(x) : narrow[i] === x,
    );
    if (fits) return { dtype: dtype === "F64" ? "float32" : "int32", shape, data: narrow };
    throw new DTypeError(
      `${name}: needs ${dtype} values that fit ${dtype === "F64" ? "float32" : "int32"}, some do not.`,
      { where: name },
    );
  }
  throw new DTypeError(`${name}: holds ${dtype}, which no parameter can take.`, { where: name });
}
