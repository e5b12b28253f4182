/** Computations that the device repeats by itself give the values of those that are asked for op by op. */
import * as t from "tenon";
import { afterEach, describe, expect, test, vi } from "vitest";
import { live, Repeated, writeInts } from "../../../src/tensor/repeated.js";
import { Tensor } from "../../../src/tensor/tensor.js";
import { openWebGpu } from "./device.js";

const backend = await openWebGpu();

const ints = (...values: number[]) => t.tensor(values, { dtype: "int32" });
const listed = async (tensor: t.Tensor) => Array.from(await tensor.data());

describe.skipIf(!backend)("a computation that is run again and again", () => {
  const facts = ["the same"];
  let repeated = new Repeated(backend!);
  afterEach(() => {
    repeated.dispose();
    repeated = new Repeated(backend!);
  });

  test("is computed twice; later runs follow tensors that change, and live parts", async () => {
    const weight = t.tensor([1, 2, 3, 4, 5, 6, 7, 8]);
    let index = 0;
    const compute = vi.fn(() =>
      t.tidy(() => {
        const at = t.tensor([0], { dtype: "int32" });
        writeInts(at, () => [index]);
        // Constants of the computation, and scalars.
        return [
          t
            .embedding(at, weight.reshape([8, 1]))
            .add(t.arange(5))
            .mul(2),
        ];
      }),
    );
    for (index = 0; index < 6; index++) {
      const [result] = repeated.run(facts, compute);
      expect(await listed(result)).toEqual([0, 1, 2, 3, 4].map((n) => 2 * (n + (index < 4 ? 1 + index : 0))));
      result.dispose();
      // What others do in between takes and fills the memory that is free.
      const others = [5, 20, 80].map((n) => t.full([n], 99).add(1));
      expect(await others[2].sum().item()).toBe(8000);
      for (const other of others) other.dispose();
      if (index === 3) t.noGrad(() => t.copy_(weight, t.zeros([8])));
    }
    expect(compute).toHaveBeenCalledTimes(2);
    weight.dispose();
  });

  test("other facts compute it anew, none as well, and so does memory that has gone", async () => {
    let x = t.tensor([1, 2]);
    const compute = vi.fn(() => t.tidy(() => [x.mul(3)]));
    const run = async (given: readonly unknown[] | undefined) => {
      const [result] = repeated.run(given, compute);
      const values = await listed(result);
      result.dispose();
      return [compute.mock.calls.length, ...values];
    };
    for (const calls of [1, 2, 2]) expect(await run(["a", 1])).toEqual([calls, 3, 6]);
    for (const calls of [3, 4, 4]) expect(await run(["a", 2])).toEqual([calls, 3, 6]);
    expect(await run(undefined)).toEqual([5, 3, 6]);
    expect(await run(["a", 2])).toEqual([5, 3, 6]);
    x.dispose();
    x = t.tensor([5, 6]);
    for (const calls of [6, 6]) expect(await run(["a", 2])).toEqual([calls, 15, 18]);
    // One that is known on this side only, and changes there.
    x.dispose();
    x = t.tensor([7]);
    for (const calls of [7, 7]) expect(await run(["a", 2])).toEqual([calls, 21]);
    x.dispose();
  });

  test("what a live part reads of a constant is the constant, each time", async () => {
    const compute = () =>
      t.tidy(() => {
        const [constant, out] = [t.full([1], 3), t.zeros([1])];
        live([constant, out], ([from, to]) => {
          const places = { inputOffset: 0, inputStrides: [1], outputOffset: 0, outputStrides: [1] };
          backend!.kernels.stridedCopy(from, to, { shape: [1], ...places });
          backend!.kernels.fill(from, 9);
        });
        return [out.add(1)];
      });
    for (let i = 0; i < 4; i++) {
      const [result] = repeated.run(facts, compute);
      expect(await result.item()).toBe(4);
      result.dispose();
    }
  });

  test("a bad index is told when it comes, and no later", async () => {
    const table = t.tensor([[1], [2], [3]]);
    let index = 0;
    const compute = () =>
      t.tidy(() => {
        const at = ints(0, 0, 0, 0, 0);
        writeInts(at, () => [0, 0, index, 0, 0]);
        return [t.embedding(at, table)];
      });
    for (const [given, message] of [
      [1, undefined],
      [2, undefined],
      [7, "embedding: needs index from 0 to 2, got 7 at position 2."],
      [2, undefined],
      [-4, "embedding: needs index from 0 to 2, got -4 at position 2."],
      [0, undefined],
    ] as const) {
      index = given;
      const [result] = repeated.run(facts, compute);
      if (message) await expect(result.data()).rejects.toThrow(message);
      else expect(await listed(result)).toEqual([1, 1, 1 + given, 1, 1]);
      result.dispose();
    }
    table.dispose();
  });

  test("indices that were checked before are checked each time", async () => {
    const [table, at] = [t.tensor([[1], [2], [3]]), ints(0, 1, 2, 1, 0)];
    for (const index of [1, 1, 1, 9]) {
      t.noGrad(() => t.copy_(at, ints(0, 1, index, 1, 0)));
      t.embedding(at, table).dispose();
      if (index === 9) await expect(at.data()).rejects.toThrow("got 9 at position 2");
      const [result] = repeated.run(facts, () => [t.embedding(at, table)]);
      if (index === 9) await expect(result.data()).rejects.toThrow("got 9 at position 2");
      else expect(await listed(result)).toEqual([1, 2, 1 + index, 2, 1]);
      result.dispose();
    }
    for (const tensor of [table, at]) tensor.dispose();
  });

  test("holds on to its memory until it is disposed; an error in the middle leaves nothing behind", async () => {
    const x = t.tensor(new Float32Array(1000).fill(1));
    const before = t.memory().live;
    const compute = () => t.tidy(() => [x.add(1).exp().log().sum()]);
    const run = async () => {
      const [result] = repeated.run(facts, compute);
      expect(await result.item()).toBeCloseTo(2000, 1);
      result.dispose();
    };
    for (let i = 0; i < 4; i++) await run();
    const { created } = backend!.gpu.pool;
    for (let i = 0; i < 100; i++) await run();
    expect(backend!.gpu.pool.created).toBe(created);
    repeated.dispose();
    expect(t.memory().live).toBe(before);
    const broken = () =>
      t.tidy(() => {
        const y = x.add(1);
        if (broken.fails) throw new Error("in the middle");
        return [y];
      });
    broken.fails = false;
    repeated.run(facts, broken)[0].dispose();
    broken.fails = true;
    expect(() => repeated.run(facts, broken)).toThrow("in the middle");
    repeated.dispose();
    expect(t.memory().live).toBe(before);
    x.dispose();
  });

  test("its buffers leave when nobody asked for it for a long time", async () => {
    const { gpu } = backend!;
    const x = t.ones([2000]);
    const run = async () => {
      const [result] = repeated.run(facts, () => [x.add(1).mul(3).sum()]);
      expect(await result.item()).toBe(12000);
      result.dispose();
    };
    for (let i = 0; i < 3; i++) await run();
    const { pooled } = backend!.memory();
    for (let i = 0; i < 400; i++) {
      x.add(i).dispose();
      gpu.flush();
    }
    expect(backend!.memory().pooled).toBeLessThan(pooled);
    const { created } = gpu.pool;
    for (let i = 0; i < 5; i++) await run();
    expect(gpu.pool.created - created).toBeLessThan(4);
    x.dispose();
  });

  test("what takes much memory on the side is not held on to", async () => {
    const compute = vi.fn(() => [Tensor.empty(backend!, [2 ** 26 + 1], "float32").narrow(0, 0, 2)]);
    for (const calls of [1, 2, 3]) {
      const [result] = repeated.run(facts, compute);
      expect(await listed(result)).toEqual([0, 0]);
      result.dispose();
      expect(compute).toHaveBeenCalledTimes(calls);
    }
  });
});
