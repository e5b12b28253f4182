/// <reference lib="esnext.disposable" preserve="true" />
/**
 * A tensor: a shape and a dtype over one piece of storage, contiguous, last dim fastest. What is computed with it lives
 * elsewhere: ops add their methods when they are defined (`src/ops/index.ts`), autograd adds `backward`.
 */

import type { Backend, DeviceName } from "../backend/backend.js";
import type { Operand } from "../backend/kernels.js";
import { Storage } from "../backend/storage.js";
import { type DType, isFloat, type NumericArray } from "../core/dtype.js";
import { DisposedError, DTypeError, GradientError, kindOf, showShape, TenonError } from "../core/errors.js";
import { type Shape, sameShape, sizeOf } from "../core/shape.js";
import type { GradNode } from "./autograd.js";
import { adopt, forget, keep } from "./scope.js";

/** An array of numbers of one dtype on one device. Ops are functions and, under their names, methods of it. */
export class Tensor implements Operand, Disposable {
  readonly size: number;
  /** The operation that made this tensor, while gradients flow through it. */
  node: GradNode | undefined;
  /** Which output of `node` this is. */
  outputIndex = 0;
  /** Owned by a module, an optimizer or a `.grad` slot: no scope frees it. */
  kept = false;
  /** The garbage collector returns its storage if nobody else does. */
  netted = false;
  private leafRequiresGrad = false;
  private gradient: Tensor | undefined;
  private memory: Storage | undefined;

  /** Takes over one reference to `storage`. */
  constructor(
    storage: Storage,
    readonly shape: Shape,
    readonly dtype: DType,
  ) {
    this.memory = storage;
    this.size = sizeOf(shape);
    adopt(this);
  }

  /** An uninitialised tensor. */
  static empty(backend: Backend, shape: Shape, dtype: DType): Tensor {
    return new Tensor(Storage.allocate(backend, shape, dtype), shape, dtype);
  }

  /** The storage; throws DisposedError once it was given back. */
  get storage(): Storage {
    if (this.memory === undefined) {
      throw new DisposedError(`tensor: of shape ${showShape(this.shape)} was used after dispose().`, {
        where: "tensor",
        hint: "It was freed by dispose() or by the end of a tidy(); return it from the tidy() to keep it.",
      });
    }
    return this.memory;
  }

  get disposed(): boolean {
    return this.memory === undefined;
  }

  get backend(): Backend {
    return this.storage.backend;
  }

  get device(): DeviceName {
    return this.storage.backend.device;
  }

  get ndim(): number {
    return this.shape.length;
  }

  /** Do gradients flow to or through this tensor? Settable on leaves of float dtype. */
  get requiresGrad(): boolean {
    return this.leafRequiresGrad || this.node !== undefined;
  }

  set requiresGrad(value: boolean) {
    if (value && !isFloat(this.dtype)) {
      throw new DTypeError(`requiresGrad: needs a float dtype, got ${this.dtype}.`, { where: "requiresGrad" });
    }
    if (!value && this.node) {
      throw new GradientError("requiresGrad: only leaves can be changed, got the result of an operation.", {
        where: "requiresGrad",
        hint: "Use detach() for a tensor without history.",
      });
    }
    this.leafRequiresGrad = value;
  }

  /**
   * Gradient of the last `backward()`, accumulated; only on leaves that require it. Settable to one like the tensor, which
   * then lives until it is dropped, as any gradient does.
   */
  get grad(): Tensor | undefined {
    return this.gradient;
  }

  set grad(value: Tensor | undefined) {
    // Also `null`, as in Python. Kernels add to it without looking at it again.
    const fits =
      !value ||
      (value instanceof Tensor &&
        sameShape(value.shape, this.shape) &&
        value.dtype === this.dtype &&
        (this.disposed || value.backend === this.backend));
    if (!fits) {
      const got = value instanceof Tensor ? brief(value) : kindOf(value);
      throw new GradientError(`grad: needs a gradient on the device of its tensor, like ${brief(this)}, got ${got}.`, {
        where: "grad",
      });
    }
    this.gradient = value ? keep(value) : undefined;
  }

  /** Made by the user (or a module), not by an operation with history. */
  get isLeaf(): boolean {
    return this.node === undefined;
  }

  /** The same storage under another shape of equal size, without history. */
  alias(shape: Shape = this.shape): Tensor {
    return new Tensor(this.storage.retain(), shape, this.dtype);
  }

  /** The same values without history; shares the storage. */
  detach(): Tensor {
    return this.alias();
  }

  /** Gives the storage back now; a scope or the garbage collector does it otherwise. Twice is harmless. */
  dispose(): void {
    if (this.memory === undefined) return;
    this.memory.release();
    this.memory = undefined;
    this.node = undefined;
    forget(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The elements in place, on devices whose memory can be addressed at once; `undefined` on WebGPU. */
  view(): NumericArray | undefined {
    return this.backend.view?.(this);
  }

  toString(): string {
    return describe(this);
  }

  /** What `JSON.stringify` writes: a description, since values are read with `await x.toArray()`. */
  toJSON(): string {
    return brief(this);
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return describe(this);
  }
}

const brief = (tensor: Tensor): string =>
  `tensor(${showShape(tensor.shape)}, ${tensor.dtype}${tensor.disposed ? ", disposed" : ""})`;

let describe = brief;

/** Installed by print.ts, which knows how to show values. */
export function setDescriber(next: (tensor: Tensor) => string): void {
  describe = next;
}

/** A tensor that a module trains: requires a gradient and belongs to its module, so no scope frees it. */
export class Parameter extends Tensor {
  /** Takes over the value's storage; the given tensor must not be used afterwards. */
  constructor(value: Tensor, requiresGrad = true) {
    if (!(value instanceof Tensor)) {
      const hint = "Make one with tensor(data).";
      throw new TenonError(`Parameter: needs a tensor, got ${kindOf(value)}.`, { where: "Parameter", hint });
    }
    super(value.storage.retain(), value.shape, value.dtype);
    this.kept = true;
    if (requiresGrad) this.requiresGrad = true;
    value.dispose();
  }
}
