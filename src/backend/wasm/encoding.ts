/** Bytes of the WebAssembly binary format: LEB128 numbers, names, floats, and nested code flattened once at the end. */

/** Code under construction: bytes, or pieces of code, in order. */
export type Code = readonly (number | Code)[];

/** Unsigned LEB128. */
export function unsigned(n: number): number[] {
  const out: number[] = [];
  let rest = n >>> 0;
  do {
    const low = rest & 127;
    rest >>>= 7;
    out.push(rest ? low | 128 : low);
  } while (rest);
  return out;
}

/** Signed LEB128 of a 32-bit integer. */
export function signed(n: number): number[] {
  const out: number[] = [];
  let rest = n | 0;
  for (;;) {
    const low = rest & 127;
    rest >>= 7;
    if ((rest === 0 && !(low & 64)) || (rest === -1 && low & 64)) {
      out.push(low);
      return out;
    }
    out.push(low | 128);
  }
}

const float = new Float32Array(1);
const floatBytes = new Uint8Array(float.buffer);

/** The four bytes of a float32, little-endian. */
export function floatBits(x: number): number[] {
  float[0] = x;
  return [...floatBytes];
}

/** The four bytes of a 32-bit integer, little-endian. */
export const intBits = (n: number): number[] => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24];

/** A length-prefixed UTF-8 name. */
export function name(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [...unsigned(bytes.length), ...bytes];
}

/** A vector of the format: count, then the items. */
export const vector = (items: readonly Code[]): Code => [unsigned(items.length), ...items];

/** A growing byte buffer into which nested code is flattened. */
export class ByteSink {
  private bytes = new Uint8Array(1 << 14);
  private length = 0;

  put(code: Code): void {
    for (const item of code) {
      if (typeof item !== "number") {
        this.put(item);
        continue;
      }
      if (this.length === this.bytes.length) {
        const larger = new Uint8Array(this.bytes.length * 2);
        larger.set(this.bytes);
        this.bytes = larger;
      }
      this.bytes[this.length++] = item;
    }
  }

  /** Writes what `body` writes, prefixed by its length in five bytes (padded LEB128, so that nothing moves). */
  sized(body: () => void): void {
    const at = this.length;
    this.put([0, 0, 0, 0, 0]);
    body();
    let size = this.length - at - 5;
    for (let k = 0; k < 5; k++) {
      this.bytes[at + k] = k < 4 ? (size & 127) | 128 : size;
      size >>>= 7;
    }
  }

  result(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.length);
  }
}
