/** Tensors of more than 2 GiB: their bytes are no signed 32-bit integer. */

import "../../src/node/platform.js";
import { expect, test } from "vitest";
import { createCpuBackend } from "../../src/backend/wasm/backend.js";
import * as e from "../../src/core/expr.js";
import { empty } from "../backend/operands.js";

test("a sum over 2 GiB, on one thread too", () => {
  const backend = createCpuBackend({ threads: 1 });
  const { memory } = backend.engine;
  if (memory.statistics().maximum < 2 ** 32) return console.log("not tested: the engine grants too little");
  const size = 2 ** 29 + 3;
  const [x, y] = [empty(backend, [size]), empty(backend, [1])];
  const values = backend.view!(x); // pages never touched hold zeros
  values[0] = 3;
  values[2 ** 28] = 2;
  values[size - 1] = 4;
  backend.kernels.reduce("sum", x, y, { outer: 1, size, inner: 1 });
  expect(backend.view!(y)[0]).toBe(9);
  for (const { storage } of [x, y]) storage.release();
  backend.destroy();
});

test.each([1, 3])("more than 2^31 bytes, copied and changed in place by %i threads", async (threads) => {
  const backend = createCpuBackend({ threads });
  const { memory } = backend.engine;
  if (memory.statistics().maximum < 2 ** 32) return console.log("not tested: the engine grants too little");
  await backend.ready();
  const size = 2 ** 31 + 4097;
  const [x, y] = [empty(backend, [1], "uint8"), empty(backend, [size], "uint8")];
  backend.kernels.fill(x, 7);
  const steps = { inputOffset: 0, inputStrides: [0], outputOffset: 0, outputStrides: [1] };
  backend.kernels.stridedCopy(x, y, { shape: [size], ...steps });
  const values = backend.view!(y);
  expect(values.indexOf(0)).toBe(-1);
  backend.kernels.elementwise(e.program(e.add(e.input(0, "i32"), 1)), [y], [y], []);
  expect(values.indexOf(7)).toBe(-1);
  for (const { storage } of [x, y]) storage.release();
  backend.destroy();
});
