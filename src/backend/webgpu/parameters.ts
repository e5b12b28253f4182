/** Numbers of the launches of a batch, in one uniform buffer: each launch has a place in it, and costs no buffer. */

import type { Kernel } from "./shader.js";

/** Bytes for one batch; each launch takes a multiple of the device's offset alignment. */
const BYTES = 2 ** 18;

export class Parameters {
  readonly buffer: GPUBuffer;
  private readonly numbers = new DataView(new ArrayBuffer(BYTES));
  private readonly step: number;
  private used = 0;

  constructor(device: GPUDevice) {
    this.step = device.limits.minUniformBufferOffsetAlignment;
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    this.buffer = device.createBuffer({ size: BYTES, usage, label: "parameters" });
  }

  private bytesOf({ paramBytes }: Kernel): number {
    return Math.ceil(paramBytes / this.step) * this.step;
  }

  hasRoom(kernel: Kernel): boolean {
    return this.used + this.bytesOf(kernel) <= BYTES;
  }

  /** Takes the numbers of a launch, and gives the place of them. */
  write(kernel: Kernel, numbers: readonly number[], groups: number): number {
    const { paramTypes } = kernel;
    const offset = this.used;
    this.used += this.bytesOf(kernel);
    const last = paramTypes.length - 1;
    for (let i = 0; i < last; i++) {
      const at = offset + 4 * i;
      if (paramTypes[i] === "f32") this.numbers.setFloat32(at, numbers[i], true);
      else this.numbers.setUint32(at, numbers[i], true);
    }
    this.numbers.setUint32(offset + 4 * last, groups, true);
    return offset;
  }

  /** Brings them to the device, for a batch that is submitted now; the next one starts anew. */
  upload(queue: GPUQueue): void {
    if (this.used > 0) queue.writeBuffer(this.buffer, 0, this.numbers.buffer as ArrayBuffer, 0, this.used);
    this.used = 0;
  }
}
