/** How the operands of a launch are bound: which share a binding, which need several, and the groups made of them. */

import { DeviceError, showShape } from "../../core/errors.js";
import type { Shape } from "../../core/shape.js";
import { showBytes } from "../storage.js";
import type { Piece, Slot } from "./pool.js";
import { elementBytes } from "./ranges.js";
import type { Kernel, Layout, Variant } from "./shader.js";

/** Anything with a storage of this backend; tensors have the rest. */
export interface OnGpu {
  readonly storage: { readonly handle: unknown };
  readonly shape?: Shape;
  readonly dtype?: string;
}

/** The piece behind an operand. */
export const pieceOf = (operand: OnGpu | Piece): Piece =>
  "storage" in operand ? (operand.storage.handle as Piece) : operand;

export function layoutOf({ source: { buffers }, plain }: Kernel, pieces: readonly Piece[], range: number): Layout {
  if (areDifferent(pieces) && pieces.every(({ bytes }) => bytes <= range)) return plain;
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

function areDifferent(pieces: readonly Piece[]): boolean {
  for (let i = 1; i < pieces.length; i++) if (pieces.indexOf(pieces[i]) < i) return false;
  return true;
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

interface KnownGroup {
  readonly variant: Variant;
  readonly slots: readonly Slot[];
  readonly first: number;
  readonly group: GPUBindGroup;
}

/** Bind groups, kept by the pipelines and buffers they are for. */
export class BindGroups {
  /** By a hash of both: a key of text would be made anew at each launch. */
  private readonly known = new Map<number, KnownGroup[]>();
  private count = 0;

  constructor(
    private readonly device: GPUDevice,
    private readonly range: number,
    private readonly params: GPUBuffer,
  ) {}

  /** The group of a launch; buffers in step are bound from element `first` on. */
  group(variant: Variant, slots: readonly Slot[], kernel: Kernel, first: number): GPUBindGroup {
    let hash = variant.id ^ first;
    for (const { id } of slots) hash = Math.imul(hash ^ id, 0x9e3779b1);
    hash >>>= 2; // a small integer in every engine
    for (const known of this.known.get(hash) ?? [])
      if (known.variant === variant && known.first === first && slots.every((slot, i) => slot === known.slots[i]))
        return known.group;
    if (this.count >= MOST_GROUPS) {
      this.known.clear();
      this.count = 0;
    }
    const group = this.make(variant, slots, kernel, first);
    this.known.set(hash, [...(this.known.get(hash) ?? []), { variant, slots, first, group }]);
    this.count++;
    return group;
  }

  private make({ bound, layout }: Variant, slots: readonly Slot[], { source, paramBytes }: Kernel, first: number) {
    const entries: GPUBindGroupEntry[] = bound.map(({ operand, range }, binding) => {
      const { buffer, offset, size } = slots[operand];
      const { inStep, type } = source.buffers[operand];
      const start = inStep ? first * elementBytes(type) : range * this.range;
      return { binding, resource: { buffer, offset: offset + start, size: Math.min(size - start, this.range) } };
    });
    entries.push({ binding: entries.length, resource: { buffer: this.params, size: paramBytes } });
    return this.device.createBindGroup({ layout, entries });
  }

  /** Lets go of the groups of a buffer that is gone. */
  forget(gone: Slot): void {
    for (const [hash, list] of this.known) {
      const kept = list.filter(({ slots }) => slots.every(({ buffer }) => buffer !== gone.buffer));
      this.count -= list.length - kept.length;
      if (kept.length === 0) this.known.delete(hash);
      else if (kept.length < list.length) this.known.set(hash, kept);
    }
  }
}
