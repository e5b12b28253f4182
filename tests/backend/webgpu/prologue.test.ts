/** The norm of a row in the launch of the product that follows it: the bits of two launches, in program order. */

import { afterAll, beforeEach, describe, expect, test } from "vitest";
import type { Operand } from "../../../src/backend/kernels.js";
import * as e from "../../../src/core/expr.js";
import { empty, noise, operand } from "../operands.js";
import { openOwn, readValues } from "./device.js";

const card = await openOwn(false);
const plain = await openOwn(false, ["subgroups"]);
afterAll(() => {
  card?.destroy();
  plain?.destroy();
});

const [x, y] = [e.input(0), e.input(1)];
const add = e.program(e.add(x, y));

interface Case {
  readonly k: number;
  readonly n: number;
  readonly rows?: number;
  readonly transposeB?: boolean;
  readonly weights?: boolean;
  readonly biased?: boolean;
}

describe.skipIf(!card)("the norm of a row before a product", () => {
  let device = card!;
  const make = (count: number, seed: number) => operand(device, noise(count, seed));
  const out = (count: number) => empty(device, [count]);
  const read = (of: Operand) => readValues(device, of);
  let before = 0;
  const launches = () => device.gpu.counters.dispatches - before;
  const begin = () => {
    device.gpu.flush();
    before = device.gpu.counters.dispatches;
  };
  beforeEach(() => {
    device = card!;
    begin();
  });

  const layout = (m: number, n: number, k: number, transposeB = false) => ({
    ...{ m, n, k, transposeA: false, transposeB },
    ...{ batchA: [0], batchB: [0] },
  });

  /** Norm, product and sum with what `other` gives; the norm and the product in one launch, or apart. */
  async function run(
    { k, n, rows = 1, transposeB = false, weights = true, biased = true }: Case,
    { apart = false, other = (_normed: Operand) => make(rows * n, 7) } = {},
  ) {
    const { kernels, gpu } = device;
    const input = make(rows * k, 1);
    const [scale, shift] = weights ? [make(k, 2), make(k, 3)] : [];
    const [right, bias] = [make(k * n, 4), biased ? make(n, 5) : undefined];
    // What no kernel writes is what another run left there; so each is written before.
    const [normed, mean, rstd, product, sum] = [rows * k, rows, rows, rows * n, rows * n].map((size) => make(size, 9));
    const residual = other(normed);
    begin();
    kernels.layerNorm(input, scale, shift, normed, mean, rstd, { rows, size: k, eps: 1e-5 });
    if (apart) gpu.flush();
    kernels.matmul(normed, right, product, { ...layout(rows, n, k, transposeB), bias });
    kernels.elementwise(add, [product, residual], [sum], []);
    gpu.flush();
    const made = launches();
    const values = [];
    for (const part of [normed, mean, rstd, product, sum]) values.push(await read(part));
    return { launches: made, values };
  }

  test.each<[string, Case]>([
    ["as many threads as numbers", { k: 64, n: 8 }],
    ["more threads than the norm has", { k: 768, n: 1540 }],
    ["numbers that are no multiple of the threads", { k: 100, n: 36, weights: false }],
    ["several rounds, columns beyond the last", { k: 2048, n: 1540, biased: false }],
    ["columns that lie along memory", { k: 512, n: 20, transposeB: true }],
  ])("%s: one launch, the bits of two", async (_, shape) => {
    const joined = await run(shape);
    const apart = await run(shape, { apart: true });
    expect([joined.launches, apart.launches]).toEqual([1, 2]);
    expect(joined.values).toEqual(apart.values);
  });

  test("without subgroups", async () => {
    device = plain!;
    const shape = { k: 768, n: 36 };
    const [joined, apart] = [await run(shape), await run(shape, { apart: true })];
    expect([joined.launches, apart.launches]).toEqual([1, 2]);
    expect(joined.values).toEqual(apart.values);
  });

  test.each<[string, Case]>([
    ["two rows", { k: 64, n: 8, rows: 2 }],
    ["rows that are no whole vectors", { k: 63, n: 8 }],
    ["columns that are none", { k: 64, n: 6 }],
    ["a row that is too long for workgroup memory", { k: 2052, n: 8 }],
    ["so many workgroups that each would make the norm", { k: 64, n: 40_000 }],
  ])("launches of their own: %s", async (_, shape) => {
    const made = await run(shape);
    expect(made.launches).toBeGreaterThan(1);
    expect(made.values).toEqual((await run(shape, { apart: true })).values);
  });

  test("a residual that is the norm is read after it was written", async () => {
    const shape = { k: 64, n: 64 };
    const made = await run(shape, { other: (normed) => normed });
    const { values } = await run(shape, { other: (normed) => normed, apart: true });
    expect(made.launches).toBe(2);
    expect(made.values).toEqual(values);
  });

  test("other work in between, another product's side, a result in the input's memory: in program order", async () => {
    const { kernels } = device;
    const [input, square] = [make(16, 1), make(256, 2)];
    const norm = () => {
      const parts = [out(16), out(1), out(1)];
      kernels.layerNorm(input, undefined, undefined, parts[0], parts[1], parts[2], { rows: 1, size: 16, eps: 0 });
      return parts[0];
    };
    const product = out(16);
    kernels.matmul(norm(), square, product, layout(1, 16, 16));
    const expected = await read(product);
    for (const disturb of [
      (normed: Operand) => void kernels.elementwise(add, [normed, normed], [out(16)], []),
      () => void kernels.matmul(make(16, 3), square, out(16), layout(1, 16, 16)),
      () => device.write(product.storage.handle, new Uint8Array(64)),
    ]) {
      const normed = norm();
      disturb(normed);
      kernels.matmul(normed, square, product, layout(1, 16, 16));
      expect(await read(product)).toEqual(expected);
    }
    // The norm as the matrix of a product: all of it must be there before the first column is read.
    const [one, dot] = [norm(), out(1)];
    kernels.matmul(one, one, dot, layout(1, 1, 16));
    const values = await read(one);
    expect(await read(dot)).toEqual([
      expect.closeTo(
        values.reduce((sum, value) => sum + value * value, 0),
        4,
      ),
    ]);
    // The input goes back while the norm waits, and the product gets its memory.
    const normed = norm();
    input.storage.release();
    const inItsPlace = out(16);
    kernels.matmul(normed, square, inItsPlace, layout(1, 16, 16));
    expect(await read(inItsPlace)).toEqual(expected);
  });

  test("what is rehearsed is shared as in earnest", async () => {
    const { gpu, kernels } = device;
    const count = gpu.pipelines.count;
    const work = () => {
      const [normed, product, right] = [out(24), out(44), make(24 * 44, 2)];
      kernels.layerNorm(make(24, 1), undefined, make(24, 2), normed, out(1), out(1), { rows: 1, size: 24, eps: 1 });
      kernels.matmul(normed, right, product, layout(1, 44, 24));
      return product;
    };
    await device.rehearse!(() => void work());
    expect(gpu.pipelines.count).toBe(count + 1);
    const { atOnce } = gpu.pipelines;
    await read(work());
    expect(gpu.pipelines.atOnce).toBe(atOnce);
  });
});
