/** Bytes that users hand over: those of another realm (a test runner's, a frame's) are no `instanceof` of this one's classes. */

const tagOf = (value: unknown): string => Object.prototype.toString.call(value);

/** Is it a Uint8Array, of any realm? */
export const isBytes = (value: unknown): value is Uint8Array =>
  ArrayBuffer.isView(value) && tagOf(value) === "[object Uint8Array]";

/** What a Uint8Array or an ArrayBuffer of any realm holds, uncopied as a plain Uint8Array of this one; else undefined. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (isBytes(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return tagOf(value) === "[object ArrayBuffer]" ? new Uint8Array(value as ArrayBuffer) : undefined;
}
