/** Values by name: what modules and optimizers save and load. */

import { byteSize, type DType, decode, dtypes, encode, isDType, type NumericArray } from "../core/dtype.js";
import { ConfigError, DTypeError, kindOf, listOf, nearest, ShapeError, show, showShape } from "../core/errors.js";
import { type Shape, sameShape } from "../core/shape.js";
import { noGrad } from "../tensor/autograd.js";
import { Tensor } from "../tensor/tensor.js";

/** Values outside the device, in C order; the 16-bit floats are their bits. `stateValues` makes them of a file's. */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: NumericArray;
}

/** Values that can be loaded into a parameter or an optimizer's state. */
export type StateValue = Tensor | HostTensor;

/** Throws unless `value` is a tensor (on a device or not) of the shape of `target`, with as many values of its dtype. */
export function checkValue(where: string, target: Tensor, value: StateValue): void {
  if (typeof value !== "object" || value === null || !Array.isArray(value.shape)) {
    throw new ConfigError(`${where}: needs a tensor, got ${kindOf(value)}.`, { where });
  }
  if (!sameShape(target.shape, value.shape)) {
    throw new ShapeError(`${where}: needs shape ${showShape(target.shape)}, got ${showShape(value.shape)}.`, {
      where,
      shapes: [target.shape, value.shape],
    });
  }
  if (value instanceof Tensor) return;
  if (!isDType(value.dtype)) {
    throw new DTypeError(`${where}: needs ${listOf(Object.keys(dtypes), "or")}, got ${show(value.dtype)}.`, {
      where,
      hint: "Of a safetensors file: stateValues(readSafetensors(file).tensors).",
    });
  }
  // The bytes are copied as they lie: those of another kind of array are other numbers.
  const { array } = dtypes[value.dtype];
  if (!(value.data instanceof array)) {
    throw new DTypeError(`${where}: needs a ${array.name} for ${value.dtype}, got ${kindOf(value.data)}.`, {
      where,
      hint: "Convert it, or give a tensor: tensor(data).",
    });
  }
  if (value.data.length !== target.size) {
    throw new ShapeError(`${where}: needs ${target.size} values, got ${value.data.length}.`, { where });
  }
}

/** Overwrites the elements of `target`, converting dtype and device; checks first. */
export function assign(where: string, target: Tensor, value: StateValue): void {
  checkValue(where, target, value);
  if (value instanceof Tensor) copyInto(target, value);
  else writeInto(target, value);
  target.storage.version++;
}

function copyInto(target: Tensor, value: Tensor): void {
  const source = noGrad(() => value.to({ dtype: target.dtype, device: target.device }));
  const copy = { shape: [target.size], inputOffset: 0, inputStrides: [1], outputOffset: 0, outputStrides: [1] };
  target.backend.kernels.stridedCopy(source, target, copy);
  if (source !== value) source.dispose();
}

function writeInto(target: Tensor, { dtype, data }: HostTensor): void {
  let stored = data;
  if (dtype !== target.dtype) {
    stored = new dtypes[target.dtype].array(data.length);
    for (let i = 0; i < data.length; i++) stored[i] = encode(target.dtype, decode(dtype, data[i]));
  }
  const bytes = new Uint8Array(stored.buffer, stored.byteOffset, byteSize(target.dtype, target.size));
  target.backend.write(target.storage.handle, bytes);
}

/** What a load did not find, and what it did not know. */
export interface LoadReport {
  missing: string[];
  unexpected: string[];
}

/** Throws ConfigError naming every missing and unexpected key, with the nearest known name for the first of them. */
export function refuseKeys(
  where: string,
  { missing, unexpected }: LoadReport,
  known: Iterable<string>,
  hint = "Pass { strict: false } to load what fits.",
): void {
  if (missing.length + unexpected.length === 0) return;
  const list = (keys: string[]) =>
    `${keys.slice(0, 8).join(", ")}${keys.length > 8 ? ` and ${keys.length - 8} more` : ""}`;
  const parts = [
    missing.length ? `missing ${list(missing)}` : "",
    unexpected.length ? `unexpected ${list(unexpected)}` : "",
  ].filter(Boolean);
  const near = unexpected.length ? nearest(unexpected[0], known) : undefined;
  throw new ConfigError(`${where}: needs exactly the keys of its own state, got ${parts.join(" and ")}.`, {
    where,
    missing,
    unexpected,
    hint: near ? `Did you mean ${near} for ${unexpected[0]}? ${hint}` : hint,
  });
}
