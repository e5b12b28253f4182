/** A probe's kernel with its buffers, ready to be launched. */

/** Throws, at the end, what the device had against anything inside: the reason, often, of what the work threw itself. */
export async function checked<T>(device: GPUDevice, work: () => T | Promise<T>): Promise<T> {
  const scopes = ["validation", "out-of-memory", "internal"] as const;
  for (const scope of scopes) device.pushErrorScope(scope);
  const result = await Promise.allSettled([(async () => work())()]);
  const errors: (GPUError | null)[] = [];
  for (const _ of scopes) errors.push(await device.popErrorScope());
  const error = errors.find((each) => each !== null);
  if (error) throw new Error(error.message);
  if (result[0].status === "rejected") throw result[0].reason;
  return result[0].value;
}

export class Launch {
  private readonly pipeline: GPUComputePipeline;
  private readonly group: GPUBindGroup;
  private readonly params: GPUBuffer;

  /** The operands in the order of the kernel's bindings; its parameters, 32-bit words, come last. */
  constructor(
    private readonly device: GPUDevice,
    code: string,
    operands: readonly GPUBuffer[],
    private readonly groups: number,
  ) {
    const module = device.createShaderModule({ code });
    this.pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
    this.params = device.createBuffer({ size: 16, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
    this.group = device.createBindGroup({
      layout: this.pipeline.getBindGroupLayout(0),
      entries: [...operands, this.params].map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }

  set(...words: number[]): void {
    const bytes = new DataView(new ArrayBuffer(16));
    words.forEach((word, i) => {
      if (Number.isInteger(word)) bytes.setUint32(4 * i, word, true);
      else bytes.setFloat32(4 * i, word, true);
    });
    this.device.queue.writeBuffer(this.params, 0, bytes.buffer);
  }

  /** Launches it some times in one submit. */
  submit(times = 1): void {
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < times; i++) {
      pass.setPipeline(this.pipeline);
      pass.setBindGroup(0, this.group);
      pass.dispatchWorkgroups(this.groups);
    }
    pass.end();
    this.device.queue.submit([encoder.finish()]);
  }
}

export function buffer(device: GPUDevice, size: number): GPUBuffer {
  const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
  return device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
}

/** The first bytes of a buffer, once all that was submitted is done. */
export async function readBack(device: GPUDevice, from: GPUBuffer, size: number): Promise<ArrayBuffer> {
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(from, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = staging.getMappedRange().slice(0);
  staging.destroy();
  return bytes;
}
