/** gzip files of any number of members (bgzip, logs appended to each other), undone in JavaScript. */

import { Inflate } from "./inflate.js";

/** Expands all members, checks sums and lengths included; zeros behind the last one are padding. Throws RangeError. */
export async function* expandMembers(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = new Input(pieces);
  for (let member = 0; await input.has(1); member++) {
    if (member > 0 && input.bytes[0] === 0) {
      while (await input.has(1)) {
        if (input.take(1)[0] !== 0) throw new RangeError("incorrect header check: zeros are followed by other bytes");
      }
      return;
    }
    await skipHeader(input);
    let sum = ~0;
    let length = 0;
    const inflate = new Inflate();
    while (!inflate.ended) {
      const last = !(await input.has(1));
      for (const piece of inflate.push(input.take(input.bytes.length), last)) {
        sum = crc(sum, piece);
        length += piece.length;
        yield piece;
      }
    }
    input.giveBack(inflate.rest());
    const trailer = await input.need(8);
    const view = new DataView(trailer.buffer, trailer.byteOffset);
    if (view.getUint32(0, true) !== ~sum >>> 0) throw new RangeError("incorrect data check");
    if (view.getUint32(4, true) !== length % 2 ** 32) throw new RangeError("incorrect length check");
  }
}

/** Bytes that come in pieces. */
class Input {
  bytes: Uint8Array = new Uint8Array(0);
  private readonly pieces: AsyncIterator<Uint8Array>;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.pieces = pieces[Symbol.asyncIterator]();
  }

  /** Are so many bytes there, or to be had? */
  async has(count: number): Promise<boolean> {
    while (this.bytes.length < count) {
      const { done, value } = await this.pieces.next();
      if (done) return false;
      this.giveBack(this.bytes, value);
    }
    return true;
  }

  async need(count: number): Promise<Uint8Array> {
    if (!(await this.has(count))) throw new RangeError("the data ends early");
    return this.take(count);
  }

  take(count: number): Uint8Array {
    const taken = this.bytes.subarray(0, count);
    this.bytes = this.bytes.subarray(count);
    return taken;
  }

  giveBack(before: Uint8Array, after: Uint8Array = this.bytes): void {
    const joined = new Uint8Array(before.length + after.length);
    joined.set(before);
    joined.set(after, before.length);
    this.bytes = joined;
  }
}

async function skipHeader(input: Input): Promise<void> {
  const magic = await input.need(2);
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) throw new RangeError("incorrect header check");
  const [method, flags] = await input.need(8);
  if (method !== 8) throw new RangeError("unknown compression method");
  if (flags & 4) {
    const [low, high] = await input.need(2);
    await input.need(low + 256 * high);
  }
  // A name and a comment, each up to a zero.
  for (const flag of [8, 16]) if (flags & flag) while ((await input.need(1))[0] !== 0);
  if (flags & 2) await input.need(2);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32, begun with all bits set and inverted at the end by the caller. */
function crc(sum: number, bytes: Uint8Array): number {
  let value = sum;
  for (let i = 0; i < bytes.length; i++) value = (value >>> 8) ^ TABLE[(value ^ bytes[i]) & 255];
  return value;
}
