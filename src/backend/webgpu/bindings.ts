/** How the operands of a launch are bound: which share a binding, which need several, and the groups made of them. */

import { DeviceError, showShape } from "../../core/errors.js";
import type { Shape } from "../../core/shape.js";
import { showBytes } from "../storage.js";
import type { Piece, Slot } from "./pool.js";
import { elementBytes } from "./ranges.js";
import type { Kernel, Variant } from "./shader.js";

/** Anything with a storage of this backend; tensors have the rest. */
export interface OnGpu {
  readonly storage: { readonly handle: unknown };
  readonly shape?: Shape;
  readonly dtype?: string;
}

/** The piece behind an operand. */
export const pieceOf = (operand: OnGpu | Piece): Piece =>
  "storage" in operand ? (operand.storage.handle as Piece) : operand;

/** What a kernel's pipeline depends on, besides its text. */
export interface Layout {
  /** For each buffer, the one whose binding it uses: its own, or that of an earlier one that is the same memory. */
  readonly shared: readonly number[];
  /** Into how many ranges each buffer is cut. */
  readonly ranges: readonly number[];
  readonly cut: boolean;
  readonly key: string;
}

export function layoutOf({ source: { buffers } }: Kernel, pieces: readonly Piece[], range: number): Layout {
  const shared = pieces.map((piece, i) => {
    const first = pieces.indexOf(piece);
    // Two readers may bind one buffer twice; with a writer among them there must be one binding.
    return first < i && pieces.some((other, j) => other === piece && buffers[j].writes) ? first : i;
  });
  // A launch takes one range of a buffer in step; of others it may need any element.
  const ranges = pieces.map((piece, i) => (buffers[i].inStep ? 1 : rangesOf(piece, range)));
  const cut = ranges.some((count) => count > 1);
  return { shared, ranges, cut, key: cut ? `${shared}|${ranges}` : `${shared}` };
}

/** How many bindings reach all of a piece. */
export const rangesOf = ({ bytes }: Piece, range: number): number => Math.max(1, Math.ceil(bytes / range));

/** Throws where an adapter has not as many bindings as the ranges of a launch need. */
export function requireBindings(
  op: string,
  { source: { buffers } }: Kernel,
  operands: readonly (OnGpu | Piece)[],
  { shared, ranges }: Layout,
  range: number,
  most: number,
): void {
  const needed = ranges.reduce((sum, count, i) => sum + (shared[i] === i ? count : 0), 0);
  const atomic = buffers.findIndex(({ type }, i) => ranges[i] > 1 && type.startsWith("atomic"));
  if (needed <= most && atomic < 0) return;
  const at = atomic < 0 ? ranges.indexOf(Math.max(...ranges)) : atomic;
  const { shape, dtype } = operands[at] as Partial<OnGpu>;
  const { bytes } = pieceOf(operands[at]);
  const tensor = `${shape ? `a ${dtype} tensor ${showShape(shape)}` : "an intermediate result"} of ${showBytes(bytes)}`;
  const parts = `in parts of ${showBytes(range)}, the limit of one binding`;
  throw new DeviceError(
    atomic < 0
      ? `webgpu: ${op} needs ${needed} bindings to reach ${tensor} ${parts}, got ${most} of this adapter.`
      : `webgpu: ${op} cannot write single elements of ${tensor} ${parts}.`,
    { where: "webgpu", op, bytes, limit: range, hint: "Use a smaller batch or model, or the cpu device." },
  );
}

const MOST_GROUPS = 4096;

/** Bind groups, kept by the buffers they hold. */
export class BindGroups {
  private readonly groups = new Map<string, GPUBindGroup>();

  constructor(
    private readonly device: GPUDevice,
    private readonly range: number,
    private readonly params: GPUBuffer,
  ) {}

  /** The group of a launch; buffers in step are bound from element `first` on. */
  group(variant: Variant, slots: readonly Slot[], { source: { buffers }, paramBytes }: Kernel, first: number) {
    let key = first > 0 ? `${variant.id}@${first}` : `${variant.id}`;
    for (const { operand } of variant.bound) key += `,${slots[operand].id}`;
    let group = this.groups.get(key);
    if (group) return group;
    const entries: GPUBindGroupEntry[] = variant.bound.map(({ operand, range }, binding) => {
      const { buffer, offset, size } = slots[operand];
      const { inStep, type } = buffers[operand];
      const start = inStep ? first * elementBytes(type) : range * this.range;
      return { binding, resource: { buffer, offset: offset + start, size: Math.min(size - start, this.range) } };
    });
    entries.push({ binding: entries.length, resource: { buffer: this.params, size: paramBytes } });
    group = this.device.createBindGroup({ layout: variant.layout, entries });
    if (this.groups.size >= MOST_GROUPS) this.groups.clear();
    this.groups.set(key, group);
    return group;
  }

  forget({ id }: Slot): void {
    for (const key of this.groups.keys()) if (key.split(",").slice(1).includes(`${id}`)) this.groups.delete(key);
  }
}
