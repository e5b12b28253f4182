/** Leaving the device, moving between devices, and changing dtype. */

import type { DeviceName } from "../backend/backend.js";
import { backendOf } from "../backend/devices.js";
import { byteSize, checkDType, type DType, decode, dtypes, type NumericArray } from "../core/dtype.js";
import { DeviceError, ShapeError, showShape } from "../core/errors.js";
import { GradNode, gradEnabled } from "./autograd.js";
import { fromTyped } from "./create.js";
import { castTo } from "./elementwise.js";
import { Tensor } from "./tensor.js";

/** A number, or lists of them as deep as the tensor has dims. */
export type NestedArray = number | boolean | NestedArray[];

declare module "./tensor.js" {
  interface Tensor {
    /** The elements in a fresh, unshared array; the 16-bit floats as Float32Array, bool as 0 and 1. Waits for the device. */
    data(): Promise<Float32Array | Int32Array | Uint8Array>;
    /** The stored bytes, little-endian; NaNs of float32 in their one form 0x7FC00000. */
    bytes(): Promise<Uint8Array>;
    /** The only element. */
    item(): Promise<number>;
    /** Nested lists; booleans for bool. */
    toArray(): Promise<NestedArray>;
    /** A copy in another dtype or on another device, with gradients; itself where nothing changes. */
    to(target: { dtype?: DType; device?: DeviceName }): Tensor;
  }
}

const CANONICAL_NAN = 0x7fc00000;

/** Gives every NaN its one form, so that files and hashes do not depend on how it arose. */
function canonicalNaNs(data: NumericArray): void {
  if (!(data instanceof Float32Array)) return;
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < bits.length; i++) if ((bits[i] & 0x7fffffff) > 0x7f800000) bits[i] = CANONICAL_NAN;
}

async function stored(tensor: Tensor): Promise<NumericArray> {
  const { storage, dtype, size } = tensor;
  storage.retain();
  try {
    const bytes = await storage.backend.read(storage.handle, byteSize(dtype, size));
    const data = new dtypes[dtype].array(bytes.buffer, bytes.byteOffset, size);
    canonicalNaNs(data);
    return data;
  } finally {
    storage.release();
  }
}

/** Nested lists of a flat array. */
export function nest(flat: ArrayLike<number>, shape: readonly number[], dtype: DType): NestedArray {
  let at = 0;
  const build = (dim: number): NestedArray => {
    if (dim === shape.length) {
      const value = flat[at++];
      return dtype === "bool" ? value !== 0 : value;
    }
    return Array.from({ length: shape[dim] }, () => build(dim + 1));
  };
  return build(0);
}

/** Bytes to a device, when both ends can be addressed at once. */
function move(tensor: Tensor, device: DeviceName): Tensor {
  const target = backendOf(device);
  const view = tensor.view();
  if (view === undefined) {
    throw new DeviceError(`to: values on ${tensor.device} can be read only asynchronously.`, {
      where: "to",
      hint: `Use tensor(await x.data(), { device: "${device}" }).reshape(x.shape).`,
    });
  }
  const copy = fromTyped(target, view, tensor.shape, tensor.dtype);
  if (gradEnabled() && tensor.requiresGrad) {
    const { shape, dtype, backend } = copy;
    const home = tensor.device;
    copy.node = new GradNode("to", [tensor], [], [{ shape, dtype, backend }], ([grad]) => [grad && move(grad, home)]);
  }
  return copy;
}

Object.assign(Tensor.prototype, {
  async data(this: Tensor) {
    const data = await stored(this);
    return dtypes[this.dtype].arithmetic ? data : Float32Array.from(data, (bits) => decode(this.dtype, bits));
  },
  async bytes(this: Tensor) {
    const data = await stored(this);
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  },
  async item(this: Tensor) {
    if (this.size !== 1) {
      throw new ShapeError(`item: needs a tensor of one element, got shape ${showShape(this.shape)}.`, {
        where: "item",
        hint: "Use data() or toArray().",
      });
    }
    return (await this.data())[0];
  },
  async toArray(this: Tensor) {
    return nest(await this.data(), this.shape, this.dtype);
  },
  to(this: Tensor, { dtype, device }: { dtype?: DType; device?: DeviceName }) {
    const cast = dtype === undefined ? this : castTo(this, checkDType(dtype, "to"));
    return device === undefined || device === cast.device ? cast : move(cast, device);
  },
});
