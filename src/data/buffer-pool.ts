/** Memory for batches: each is made of what an earlier one gave back. */

/** Memory of batches that were given back, by length. */
export class BufferPool {
  private readonly free = new Map<number, ArrayBuffer[]>();
  private allocated = 0;

  constructor(private readonly reuse: boolean) {}

  /** Zeroed memory of `bytes` bytes. */
  take(bytes: number): ArrayBuffer {
    const buffer = this.free.get(bytes)?.pop();
    if (buffer) {
      new Uint8Array(buffer).fill(0);
      return buffer;
    }
    this.allocated += bytes;
    return new ArrayBuffer(bytes);
  }

  /** Takes back the arrays of a batch. */
  release(columns: Readonly<Record<string, { data: unknown; mask?: Uint8Array }>>): void {
    if (!this.reuse) return;
    for (const { data, mask } of Object.values(columns)) {
      if (ArrayBuffer.isView(data)) this.giveBack(data.buffer as ArrayBuffer);
      if (mask) this.giveBack(mask.buffer as ArrayBuffer);
    }
  }

  private giveBack(buffer: ArrayBuffer): void {
    if (buffer.byteLength === 0) return; // given back before
    // Transferring empties every view that is still held, so that no one ever sees another batch's numbers.
    const moved = structuredClone(buffer, { transfer: [buffer] });
    const list = this.free.get(moved.byteLength);
    if (list) list.push(moved);
    else this.free.set(moved.byteLength, [moved]);
  }

  memory(): { pooledBytes: number; allocatedBytes: number } {
    let pooledBytes = 0;
    for (const [bytes, list] of this.free) pooledBytes += bytes * list.length;
    return { pooledBytes, allocatedBytes: this.allocated };
  }
}
