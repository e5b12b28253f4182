/** Elements of every dtype as four 32-bit lanes, and back; the same conversions as in core/dtype.ts. */

import { type DType, dtypes } from "../../../core/dtype.js";
import type { FunctionBuilder } from "../assembler.js";
import type { I32, V128 } from "../values.js";
import { f32x4, i32x4, v128 } from "../vectors.js";

/** Reads and writes lanes of one dtype. Constants are computed where it is created, before the loop. */
export interface LaneAccess {
  readonly bytes: 1 | 2 | 4;
  /** Four elements at an address; reads up to 16 bytes. */
  load(address: I32, offset?: number): V128;
  /** One element in all lanes. */
  splat(address: I32): V128;
  /** Writes four elements. */
  store(address: I32, lanes: V128, offset?: number): void;
  /** Writes the first `count` (1 to 3) of four elements. */
  storeSome(address: I32, lanes: V128, count: I32): void;
}

export function laneAccess(f: FunctionBuilder, dtype: DType): LaneAccess {
  const bytes = dtypes[dtype].size as 1 | 2 | 4;
  const { decode, encode } = conversions[dtype](f);
  /** Stored bits, one element per 32-bit lane. */
  const widened = (address: I32, offset: number): V128 => {
    if (bytes === 4) return address.v128(offset);
    if (bytes === 2) return address.u16x4(offset);
    return i32x4.lowU16(i32x4.lowU8(address.load32Zero(offset)));
  };
  const narrowed = (lanes: V128): V128 => {
    if (bytes === 4) return lanes;
    const halves = f.let(i32x4.narrowU16(lanes, lanes));
    return bytes === 2 ? halves : f.let(i32x4.narrowU8(halves, halves));
  };
  return {
    bytes,
    load: (address, offset = 0) => f.let(decode(f.let(widened(address, offset)))),
    splat: (address) =>
      f.let(decode(f.let(bytes === 4 ? address.splat() : i32x4.splat(bytes === 2 ? address.u16() : address.u8())))),
    store(address, lanes, offset = 0) {
      const stored = narrowed(encode(lanes));
      if (bytes === 4) f.storeV128(address, stored, offset);
      else f.storeLane((4 * bytes) as 4 | 8, address, stored, 0, offset);
    },
    storeSome(address, lanes, count) {
      const stored = f.let(narrowed(encode(lanes)));
      f.if(
        count.and(2),
        () => {
          f.storeLane((2 * bytes) as 2 | 4 | 8, address, stored, 0);
          f.if(count.and(1), () => f.storeLane(bytes, address, stored, 2, 2 * bytes));
        },
        () => f.storeLane(bytes, address, stored, 0),
      );
    },
  };
}

type Conversion = (f: FunctionBuilder) => { decode: (bits: V128) => V128; encode: (lanes: V128) => V128 };

const same: Conversion = () => ({ decode: (bits) => bits, encode: (lanes) => lanes });

const conversions: { readonly [K in DType]: Conversion } = {
  float32: same,
  int32: same,
  uint8: (f) => {
    const mask = f.let(i32x4.const(255));
    return { decode: (bits) => bits, encode: (lanes) => v128.and(lanes, mask) };
  },
  // Lanes are masks, stored values 0 or 1.
  bool: (f) => {
    const zero = f.let(i32x4.const(0));
    return { decode: (bits) => i32x4.ne(bits, zero), encode: (lanes) => i32x4.neg(lanes) };
  },
  bfloat16: (f) => {
    const half = f.let(i32x4.const(0x7fff));
    const one = f.let(i32x4.const(1));
    const nan = f.let(i32x4.const(0x7fc0));
    return {
      decode: (bits) => i32x4.shl(bits, 16),
      encode(lanes) {
        const x = f.let(lanes);
        const odd = v128.and(i32x4.shrU(x, 16), one);
        const rounded = i32x4.shrU(i32x4.add(i32x4.add(x, half), odd), 16);
        return v128.bitselect(rounded, nan, f32x4.eq(x, x));
      },
    };
  },
  float16: (f) => {
    const constants = {
      magnitude: 0x7fff,
      scale: 0x77800000, // 2^112: the difference of the exponent biases
      infinity: 0x7f800000,
      overflow: 0x47800000,
      sign: 0x80000000 | 0,
      smallestNormal: 0x38800000,
      half: 0x3f000000,
      rebias: (0xfff - 0x38000000) | 0,
      one: 1,
      infinity16: 0x7c00,
      nan16: 0x7e00,
    };
    const local = Object.fromEntries(
      Object.entries(constants).map(([key, bits]) => [key, f.let(i32x4.const(bits))]),
    ) as Record<keyof typeof constants, V128>;
    return {
      decode(bits) {
        const magnitude = f.let(v128.and(bits, local.magnitude));
        const scaled = f.let(f32x4.mul(i32x4.shl(magnitude, 13), local.scale));
        // Exponent 31 scales to 2^16 and above: infinities and NaNs keep their fraction under an exponent of 255.
        const special = v128.and(i32x4.geS(scaled, local.overflow), local.infinity);
        return v128.or(v128.or(scaled, special), i32x4.shl(v128.xor(bits, magnitude), 16));
      },
      encode(lanes) {
        const x = f.let(lanes);
        const sign = f.let(v128.and(x, local.sign));
        const magnitude = f.let(v128.xor(x, sign));
        const odd = v128.and(i32x4.shrU(magnitude, 13), local.one);
        const normal = i32x4.shrU(i32x4.add(i32x4.add(magnitude, local.rebias), odd), 13);
        // Below the smallest normal number, adding 0.5 aligns the wanted bits at the bottom and rounds to even.
        const subnormal = i32x4.sub(f32x4.add(magnitude, local.half), local.half);
        const finite = v128.bitselect(subnormal, normal, i32x4.ltS(magnitude, local.smallestNormal));
        const number = v128.bitselect(local.infinity16, finite, i32x4.geS(magnitude, local.overflow));
        const signed = v128.or(number, i32x4.shrU(sign, 16));
        return v128.bitselect(signed, local.nan16, f32x4.eq(x, x));
      },
    };
  },
};
