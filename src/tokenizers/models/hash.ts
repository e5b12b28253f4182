/** Hashes and sizes of the open tables in typed memory. */

/** A power of 2 that leaves half of the slots free. */
export const tableSize = (entries: number): number => {
  let size = 16;
  while (size < entries * 2) size *= 2;
  return size;
};

export const hashPair = (a: number, b: number): number => finish(Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b));

/** A text's hash (FNV-1a over UTF-16 units): `mix` for each unit, then `finish`. */
export const mix = (hash: number, unit: number): number => Math.imul(hash ^ unit, 0x01000193);
export const finish = (hash: number): number => hash ^ (hash >>> 15);
