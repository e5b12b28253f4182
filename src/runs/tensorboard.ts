/**
 * TensorBoard's event files: records of TFRecord (length, masked CRC-32C, data, masked CRC-32C) that each hold one
 * `Event` message in protocol-buffer encoding. Field numbers are those of TensorFlow's event.proto, summary.proto and
 * tensor.proto.
 */

import { GrowingFile } from "./growing-file.js";
import { fileSink, type Sink, type SinkTarget, sinkFile } from "./sinks.js";

const utf8 = new TextEncoder();

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1;
  return n >>> 0;
});

/** CRC-32C (Castagnoli), RFC 3720 appendix B.4. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecord rotates and shifts its checksums, so that a checksum of data with checksums stays strong. */
const maskedCrc = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

/** One record of a TFRecord file. */
export function tfRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

type Field = readonly [number: number, value: number | string | Uint8Array, type?: "double" | "float" | "varint"];

/** A protocol-buffer message: texts and bytes by length, numbers as double, float or varint. */
function message(...fields: readonly Field[]): Uint8Array {
  const bytes: number[] = [];
  const varint = (value: number) => {
    for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
    bytes.push(value);
  };
  for (const [field, value, type = "varint"] of fields) {
    if (typeof value !== "number") {
      const content = typeof value === "string" ? utf8.encode(value) : value;
      varint(field * 8 + 2);
      varint(content.length);
      for (const byte of content) bytes.push(byte);
    } else if (type === "varint") {
      varint(field * 8);
      varint(value);
    } else {
      const width = type === "double" ? 8 : 4;
      const view = new DataView(new ArrayBuffer(width));
      if (type === "double") view.setFloat64(0, value, true);
      else view.setFloat32(0, value, true);
      varint(field * 8 + (type === "double" ? 1 : 5));
      for (let i = 0; i < width; i++) bytes.push(view.getUint8(i));
    }
  }
  return Uint8Array.from(bytes);
}

const event = (wallTime: number, step: number, ...fields: readonly Field[]): Uint8Array =>
  tfRecord(message([1, wallTime, "double"], [2, step], ...fields));

/** `Summary.Value` of a number. */
const scalar = (tag: string, value: number): Field => [1, message([1, tag], [2, value, "float"])];

/** `Summary.Value` for the text plugin: a string tensor of one element. */
const textValue = (tag: string, text: string): Field => {
  const shape = message([2, message([1, 1])]);
  const tensor = message([1, 7], [2, shape], [8, text]);
  return [1, message([1, tag], [8, tensor], [9, message([1, message([1, "text"])])])];
};

export interface TensorboardOptions {
  /** Seconds since 1970, for TensorBoard's wall-clock axis; 0 unless given, as nothing below the command line reads clocks. */
  readonly clock?: () => number;
}

/**
 * Writes `events.out.tfevents.…` files that TensorBoard reads: metrics as scalars, samples as texts. `target` is a
 * folder. A folder that holds event files gets a further one, so that resumed runs show as one curve.
 */
export function tensorboardSink(target: SinkTarget, { clock = () => 0 }: TensorboardOptions = {}): Sink {
  const file = new GrowingFile(async () => {
    const { store, path } = sinkFile(typeof target === "string" ? `${target.replace(/\/+$/, "")}/x` : target);
    const folder = typeof target === "string" ? "" : `${path}/`;
    const taken = (await store.list(folder.slice(0, -1))).filter(({ name }) => name.includes("tfevents")).length;
    const seconds = String(Math.floor(clock())).padStart(10, "0");
    const name = `events.out.tfevents.${seconds}.tenon.${taken}`;
    return { store, path: `${folder}${name}`, size: 0, head: event(clock(), 0, [3, "brain.Event:2"]) };
  });
  return fileSink("tensorboardSink", file, (events, { kind, step, values = {}, text }) => {
    const found =
      text === undefined ? Object.entries(values).map((entry) => scalar(...entry)) : [textValue(kind, text)];
    if (found.length > 0) events.write(event(clock(), step, [5, message(...found)]));
  });
}
