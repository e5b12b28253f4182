import { expect, test } from "vitest";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import { randomBits, randomUniform } from "../../../src/core/random.js";
import { empty, noise, operand, valuesOf } from "../operands.js";

const call = { key0: 0x243f6a88, key1: 0x85a308d3, call: 7 };

test("memory is counted; reading gives a fresh copy", async () => {
  const backend = createReferenceBackend();
  const a = operand(backend, [1, 2, 3]);
  const b = empty(backend, [10]);
  expect(backend.memory()).toEqual({ live: 52, pooled: 0, peak: 52 });
  b.storage.release();
  expect(backend.memory()).toEqual({ live: 12, pooled: 0, peak: 52 });
  const bytes = await backend.read(a.storage.handle, 12);
  expect([...new Float32Array(bytes.buffer)]).toEqual([1, 2, 3]);
  bytes.fill(0);
  expect(valuesOf(backend, a)).toEqual([1, 2, 3]);
});

test("uniforms are those of the call", () => {
  const backend = createReferenceBackend();
  const uniform = empty(backend, [11]);
  backend.kernels.randomUniform(uniform, call);
  expect(valuesOf(backend, uniform)).toEqual([...randomUniform(call, 11)]);
});

test("dropout keeps what lies below the threshold", () => {
  const backend = createReferenceBackend();
  const x = noise(4000);
  const out = empty(backend, [4000]);
  backend.kernels.dropout(operand(backend, x), out, call, 0.75 * 2 ** 32, 1 / 0.75);
  const words = randomBits(call, 4000);
  const factor = Math.fround(1 / 0.75);
  const want = Array.from(x, (value, i) => (words[i] < 0.75 * 2 ** 32 ? Math.fround(value * factor) : 0));
  expect(valuesOf(backend, out)).toEqual(want);
  const kept = want.filter((value) => value !== 0).length;
  expect(kept / 4000).toBeGreaterThan(0.72);
  expect(kept / 4000).toBeLessThan(0.78);
});
