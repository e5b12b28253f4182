/** Thrift's compact protocol as far as Parquet uses it; no length is believed before it is checked. */

import { Breach } from "./parquet-breach.js";

/** A struct's fields by their numbers. */
export interface ThriftStruct {
  readonly [field: number]: ThriftValue | undefined;
}
export type ThriftValue = number | boolean | Uint8Array | ThriftStruct | readonly ThriftValue[];

/** Parquet nests about eight deep. */
const MOST_DEPTH = 32;

/** Reads structs and numbers one after the other; throws Breach on bytes that break the protocol. */
export class CompactReader {
  constructor(
    readonly bytes: Uint8Array,
    public at = 0,
  ) {}

  struct(depth = 0): ThriftStruct {
    if (depth > MOST_DEPTH) throw new Breach(`a Thrift struct is nested more than ${MOST_DEPTH} deep`);
    const fields: Record<number, ThriftValue> = {};
    let id = 0;
    while (true) {
      const head = this.byte();
      const type = head & 15;
      if (type === 0) return fields;
      id = head >> 4 ? id + (head >> 4) : zigzag(this.varint(5));
      fields[id] = this.value(type, depth);
    }
  }

  private value(type: number, depth: number): ThriftValue {
    switch (type) {
      case 1:
      case 2:
        return type === 1;
      case 3:
        return (this.byte() << 24) >> 24;
      case 4:
      case 5:
        return zigzag(this.varint(5));
      case 6:
        return zigzag(this.varint(10));
      case 7: {
        const { buffer, byteOffset } = this.take(8);
        return new DataView(buffer, byteOffset).getFloat64(0, true);
      }
      case 8:
        return this.take(this.varint(5));
      case 9:
        return this.list(depth);
      case 12:
        return this.struct(depth + 1);
      default:
        throw new Breach(`Thrift type ${type} does not occur in Parquet`);
    }
  }

  private list(depth: number): ThriftValue[] {
    const head = this.byte();
    const type = head & 15;
    const count = head >> 4 === 15 ? this.varint(5) : head >> 4;
    if (depth > MOST_DEPTH) throw new Breach(`a Thrift list is nested more than ${MOST_DEPTH} deep`);
    // Every element has at least one byte.
    if (count > this.bytes.length - this.at) throw new Breach(`a Thrift list claims ${count} elements`);
    const values: ThriftValue[] = [];
    for (let i = 0; i < count; i++) values.push(type <= 2 ? this.byte() === 1 : this.value(type, depth + 1));
    return values;
  }

  /** An unsigned number of at most `most` bytes; those of five have 32 bits. */
  varint(most: number): number {
    let value = 0;
    for (let i = 0, scale = 1; i < most; i++, scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128 && (most > 5 || value < 2 ** 32)) return value;
    }
    throw new Breach(`a number has more than ${most} bytes`);
  }

  private take(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw new Breach(`a Thrift text claims ${length} bytes`);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  private byte(): number {
    if (this.at >= this.bytes.length) throw new Breach("a number or struct has no end");
    return this.bytes[this.at++];
  }
}

/** What an unsigned number stands for: 0, -1, 1, -2, 2, … */
export const zigzag = (value: number): number => (value % 2 ? -(value + 1) / 2 : value / 2);
