/** Leaving the device, moving between devices, and changing dtype. */

import type { Backend, DeviceName } from "../backend/backend.js";
import { backendOf } from "../backend/devices.js";
import { byteSize, checkDType, type DType, decode, dtypes, type NumericArray } from "../core/dtype.js";
import { ConfigError, DeviceError, GradientError, ShapeError, showShape } from "../core/errors.js";
import { GradNode, gradEnabled } from "./autograd.js";
import { castProgram } from "./cast.js";
import { fromTyped } from "./create.js";
import { dispatchOne } from "./dispatch.js";
import { registerOp } from "./op.js";
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
    /**
     * A copy in another dtype or on another device, with gradients; itself where nothing changes. Synchronous, so it
     * cannot leave webgpu: `toDevice` can. Nor can gradients: where a copy on webgpu is trained, backward() refuses.
     */
    to(target: { dtype?: DType; device?: DeviceName }): Tensor;
    /** A copy on another device, with gradients; itself where it is there already. Waits for the device it leaves. */
    toDevice(device: DeviceName): Promise<Tensor>;
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
  const bytes = await storage.backend.read(storage.handle, byteSize(dtype, size));
  const data = new dtypes[dtype].array(bytes.buffer, bytes.byteOffset, size);
  canonicalNaNs(data);
  return data;
}

/** Nested lists of a flat array. */
function nest(flat: ArrayLike<number>, shape: readonly number[], dtype: DType): NestedArray {
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

const castOp = registerOp<{ dtype: DType }>({
  name: "to",
  doc: "the same values in another dtype",
  inputs: [{ name: "x", kind: "any" }],
  attrs: { dtype: { type: "string" } },
  infer: ([x], { dtype }) => [{ shape: x.shape, dtype: checkDType(dtype, "to") }],
  run: (kernels, [x], [out]) => kernels.elementwise(castProgram(x.dtype, out.dtype), [x], [out], []),
  backward: ({ grad }) => [grad],
});

function checkTarget(target: unknown): void {
  const names = typeof target === "object" && target !== null ? Object.keys(target) : undefined;
  if (names?.every((name) => name === "dtype" || name === "device")) return;
  const got = names ? `{ ${names.join(", ")} }` : String(target);
  throw new ConfigError(`to: needs { dtype?, device? }, got ${got}.`, {
    where: "to",
    hint: 'For example x.to({ device: "cpu" }) or x.to({ dtype: "int32" }).',
  });
}

/** Bytes to a device, when both ends can be addressed at once; the gradient comes back the same way. */
function move(tensor: Tensor, target: Backend): Tensor {
  const view = tensor.view();
  if (view === undefined) {
    throw new DeviceError(`to: values on ${tensor.device} can be read only asynchronously.`, {
      where: "to",
      hint: `Use await x.toDevice("${target.device}").`,
    });
  }
  return arrive(tensor, view, target);
}

/** The elements of a tensor on another device; their gradient goes back to where they came from. */
function arrive(tensor: Tensor, elements: NumericArray, target: Backend): Tensor {
  const copy = fromTyped(target, elements, tensor.shape, tensor.dtype);
  if (gradEnabled() && tensor.requiresGrad) {
    const home = tensor.backend;
    const back = (grad: Tensor) => {
      if (grad.view()) return move(grad, home);
      throw new GradientError(`backward: a gradient on ${grad.device} cannot go back to ${home.device}.`, {
        where: "backward",
        hint: `Train the copy: x.detach().to({ device: "${grad.device}" }), then requiresGrad = true.`,
      });
    };
    copy.node = new GradNode("to", [tensor], [], 1, ([grad]) => [grad && back(grad)]);
  }
  return copy;
}

Object.assign(Tensor.prototype, {
  async data(this: Tensor) {
    const data = await stored(this);
    if (dtypes[this.dtype].arithmetic) return data;
    const out = new Float32Array(this.size);
    for (let i = 0; i < out.length; i++) out[i] = decode(this.dtype, data[i]);
    return out;
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
  to(this: Tensor, target: { dtype?: DType; device?: DeviceName }) {
    checkTarget(target);
    const { dtype, device } = target;
    const goal = device === undefined ? this.backend : backendOf(device);
    const cast = dtype === undefined || dtype === this.dtype ? this : dispatchOne(castOp, [this], { dtype });
    return goal === cast.backend ? cast : move(cast, goal);
  },
  async toDevice(this: Tensor, device: DeviceName) {
    const target = backendOf(device);
    return target === this.backend ? this : arrive(this, this.view() ?? (await stored(this)), target);
  },
});
