/** Pipelines: one for each kernel and way in which its buffers coincide, made at first use or ahead of it. */

import type { Failures } from "./failures.js";
import { type Kernel, type Variant, wgsl } from "./shader.js";

export class Pipelines {
  private readonly layouts = new Map<string, { bind: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  private nextId = 0;
  /** Pipelines whose making held up the caller, for tests and reports. */
  atOnce = 0;

  constructor(
    private readonly device: GPUDevice,
    private readonly failures: Failures,
  ) {}

  get count(): number {
    return this.nextId;
  }

  /** The pipeline of a kernel whose buffers coincide as `shared` says; made now where nobody did ahead. */
  variant(kernel: Kernel, shared: readonly number[]): Variant {
    const key = shared.join();
    let variant = kernel.variants.get(key);
    if (variant) return variant;
    this.atOnce++;
    const { descriptor, ...rest } = this.watched(kernel, () => this.describe(kernel, shared));
    const pipeline = this.watched(kernel, () => this.device.createComputePipeline(descriptor));
    variant = { id: this.nextId++, pipeline, ...rest };
    kernel.variants.set(key, variant);
    return variant;
  }

  /** Makes the pipeline beside others, without holding up the caller; resolves when it is there. */
  ahead(kernel: Kernel, shared: readonly number[]): Promise<void> {
    const key = shared.join();
    if (kernel.variants.has(key)) return Promise.resolve();
    const known = kernel.coming.get(key);
    if (known) return known;
    const { descriptor, ...rest } = this.watched(kernel, () => this.describe(kernel, shared));
    const coming = this.device
      .createComputePipelineAsync(descriptor)
      .then((pipeline) => {
        if (!kernel.variants.has(key)) kernel.variants.set(key, { id: this.nextId++, pipeline, ...rest });
      })
      .catch(() => {}) // its use makes it again, and says what is wrong
      .finally(() => kernel.coming.delete(key));
    kernel.coming.set(key, coming);
    return coming;
  }

  /** What the device has against a kernel rejects the next read. */
  private watched<T>(kernel: Kernel, make: () => T): T {
    this.device.pushErrorScope("validation");
    try {
      return make();
    } finally {
      this.failures.watchKernel(this.device.popErrorScope(), kernel.source.name);
    }
  }

  private describe({ source }: Kernel, shared: readonly number[]) {
    const slots = source.buffers.map((_, i) => i).filter((i) => shared[i] === i);
    const access = slots.map((i) => (source.buffers.some((spec, j) => shared[j] === i && spec.writes) ? "w" : "r"));
    const { bind, pipeline: layout } = this.layoutFor(access.join(""));
    const module = this.device.createShaderModule({
      code: wgsl(source, shared, this.device.features.has("subgroups")),
      label: source.name,
    });
    return { descriptor: { layout, compute: { module, entryPoint: "main" }, label: source.name }, layout: bind, slots };
  }

  private layoutFor(access: string) {
    let known = this.layouts.get(access);
    if (known) return known;
    const entries: GPUBindGroupLayoutEntry[] = [...access].map((kind, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: kind === "w" ? "storage" : "read-only-storage" },
    }));
    const buffer = { type: "uniform", hasDynamicOffset: true } as const;
    entries.push({ binding: access.length, visibility: GPUShaderStage.COMPUTE, buffer });
    const bind = this.device.createBindGroupLayout({ entries });
    known = { bind, pipeline: this.device.createPipelineLayout({ bindGroupLayouts: [bind] }) };
    this.layouts.set(access, known);
    return known;
  }
}
