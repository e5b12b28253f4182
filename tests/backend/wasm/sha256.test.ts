import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { sha256Module, useWasmSha256 } from "../../../src/backend/wasm/sha256.js";
import { Sha256 } from "../../../src/core/sha256.js";

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const data = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 2654435761) >>> 24);

test("the module is small enough for every engine to compile at once on a page's main thread", () => {
  expect(sha256Module().length).toBeLessThan(4096);
});

test("digests are those of the plain function and of the host, around the edges of blocks, of groups of four and of the page", () => {
  const lengths = [
    0, 1, 55, 56, 63, 64, 65, 127, 128, 191, 192, 255, 256, 257, 320, 1000, 61_439, 61_440, 61_441, 200_000,
  ];
  const plain = lengths.map((length) => new Sha256().update(data.subarray(0, length)).digest());
  expect(plain).toEqual(lengths.map((length) => digest(data.subarray(0, length))));
  expect(useWasmSha256()).toBe(true);
  for (const [i, length] of lengths.entries()) {
    expect(new Sha256().update(data.subarray(0, length)).digest(), `${length} bytes`).toBe(plain[i]);
  }
});

test("two hashers that take turns, in pieces of any size, do not disturb each other", () => {
  const a = new Sha256();
  const b = new Sha256();
  for (let at = 0, size = 1; at < data.length; at += size, size = (size * 7 + 3) % 5000) {
    a.update(data.subarray(at, at + size));
    b.update(data.subarray(at, at + size)).update(data.subarray(0, 3));
  }
  expect(a.digest()).toBe(digest(data));
  expect(b.digest()).not.toBe(digest(data));
});
