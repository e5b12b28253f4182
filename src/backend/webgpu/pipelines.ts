/** Pipelines: one for each kernel and way in which its buffers are bound, made at first use or ahead of it. */

import type { Abilities } from "./adapter.js";
import type { Failures } from "./failures.js";
import { type Kernel, type Layout, type Variant, wgsl } from "./shader.js";

export class Pipelines {
  private readonly layouts = new Map<string, { bind: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  private nextId = 0;
  /** Pipelines whose making held up the caller, for tests and reports. */
  atOnce = 0;

  constructor(
    private readonly device: GPUDevice,
    private readonly failures: Failures,
    /** Bytes of a range, of buffers that are bound by several. */
    private readonly range: number,
    private readonly abilities: Abilities,
  ) {}

  get count(): number {
    return this.nextId;
  }

  /** The pipeline of a kernel whose buffers are bound as `layout` says; made now where nobody did ahead. */
  variant(kernel: Kernel, layout: Layout): Variant {
    const { key } = layout;
    let variant = kernel.variants.get(key);
    if (variant) return variant;
    this.atOnce++;
    const { descriptor, ...rest } = this.watched(kernel, () => this.describe(kernel, layout));
    const pipeline = this.watched(kernel, () => this.device.createComputePipeline(descriptor));
    variant = { id: this.nextId++, pipeline, ...rest };
    kernel.variants.set(key, variant);
    return variant;
  }

  /** Makes the pipeline beside others, without holding up the caller; resolves when it is there. */
  ahead(kernel: Kernel, layout: Layout): Promise<void> {
    const { key } = layout;
    if (kernel.variants.has(key)) return Promise.resolve();
    const known = kernel.coming.get(key);
    if (known) return known;
    const { descriptor, ...rest } = this.watched(kernel, () => this.describe(kernel, layout));
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

  private describe({ source, paramBytes }: Kernel, { shared, ranges }: Layout) {
    const bound = source.buffers.flatMap((_, operand) =>
      shared[operand] === operand ? Array.from({ length: ranges[operand] }, (_, range) => ({ operand, range })) : [],
    );
    const written = (i: number) => source.buffers.some(({ writes }, j) => shared[j] === i && writes);
    const { bind, pipeline: layout } = this.layoutFor(
      bound.map(({ operand }) => (written(operand) ? "w" : "r")).join(""),
      paramBytes,
    );
    const module = this.device.createShaderModule({
      code: wgsl(source, shared, this.abilities, { counts: ranges, bytes: this.range }),
      label: source.name,
    });
    return { descriptor: { layout, compute: { module, entryPoint: "main" }, label: source.name }, layout: bind, bound };
  }

  private layoutFor(access: string, paramBytes: number) {
    const key = `${access}${paramBytes}`;
    let known = this.layouts.get(key);
    if (known) return known;
    const entries: GPUBindGroupLayoutEntry[] = [...access].map((kind, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: kind === "w" ? "storage" : "read-only-storage" },
    }));
    // With its size told, nothing is left to compare at each launch (which Deno 2.9 does with the launch before).
    const buffer = { type: "uniform", hasDynamicOffset: true, minBindingSize: paramBytes } as const;
    entries.push({ binding: access.length, visibility: GPUShaderStage.COMPUTE, buffer });
    const bind = this.device.createBindGroupLayout({ entries });
    known = { bind, pipeline: this.device.createPipelineLayout({ bindGroupLayouts: [bind] }) };
    this.layouts.set(key, known);
    return known;
  }
}
