/** Elementwise work on a product's result, in the product's launch: the bits of two launches, in program order. */

import { afterAll, beforeEach, describe, expect, test } from "vitest";
import type { Operand } from "../../../src/backend/kernels.js";
import { type Product, store } from "../../../src/backend/webgpu/matmul/product.js";
import * as e from "../../../src/core/expr.js";
import * as functions from "../../../src/core/functions.js";
import { empty, noise, operand } from "../operands.js";
import { openOwn, readValues } from "./device.js";

const card = await openOwn(false);
afterAll(() => card?.destroy());

const [x, y, number] = [e.input(0), e.input(1), e.scalar(0)];
const add = e.program(e.add(x, y));
const activation = e.program(e.mul(x, functions.sigmoid(e.mul(x, number))));
const both = e.program(e.add(x, y), e.sub(x, y));
const isPositive = e.program(e.gt(x, 0));

const layout = (m: number, n: number, k: number, count = 1) => ({
  ...{ m, n, k, transposeA: false, transposeB: false },
  batchA: Array.from({ length: count }, (_, z) => z),
  batchB: Array.from({ length: count }, () => 0),
});

test("what is read of a tensor does not take the name of another one: with1 of result 0, with10", () => {
  const names = Array.from({ length: 12 }, (_, i) => `with${i}`);
  const product = { wideOut: true, epilogue: { reads: names } } as unknown as Product;
  const fours = Array.from({ length: 12 }, (_, i) => ({ row: `${i}u`, column: "column", value: "value" }));
  const made = [...store(product, "z", fours).matchAll(/let (\w+) =/g)].map(([, name]) => name);
  expect(made.filter((name, i) => names.includes(name) || made.indexOf(name) < i)).toEqual([]);
});

describe.skipIf(!card)("work on the result of a product", () => {
  const device = card!;
  const { kernels, gpu } = device ?? {};
  const make = (count: number, seed: number) => operand(device, noise(count, seed));
  const out = (count: number) => empty(device, [count]);
  const read = (of: Operand) => readValues(device, of);
  let before = 0;
  const launches = () => gpu.counters.dispatches - before;
  beforeEach(() => {
    gpu.flush();
    before = gpu.counters.dispatches;
  });

  /** A product and a program over its result, which is the input `place`; at once, or with a submit between them. */
  async function run(
    [m, n, k, count]: [number, number, number, number],
    program: e.Program,
    { place = 0, inputs = 1, biased = false, apart = false },
  ) {
    const shape = layout(m, n, k, count);
    const bias = make(n, 3);
    const made = out(count * m * n);
    const others = Array.from({ length: inputs - 1 }, () => make(made.size, 4));
    const finished = out(made.size);
    gpu.flush();
    before = gpu.counters.dispatches;
    kernels.matmul(make(count * m * k, 1), make(k * n, 2), made, biased ? { ...shape, bias } : shape);
    if (apart) gpu.flush();
    kernels.elementwise(program, others.toSpliced(place, 0, made), [finished], [1.702]);
    const values = [await read(made), await read(finished)];
    return { values, launches: launches() };
  }

  test.each<[string, [number, number, number, number], e.Program, object]>([
    ["a row, an activation", [1, 36, 20, 1], activation, { biased: true }],
    ["a row, added to another", [1, 36, 20, 1], add, { inputs: 2 }],
    ["three rows", [3, 8, 1030, 1], add, { inputs: 2, place: 1, biased: true }],
    ["a stack of rows", [2, 12, 7, 5], add, { inputs: 2 }],
    ["tiles", [66, 68, 33, 1], activation, { biased: true }],
  ])("%s: one launch, the bits of two", async (_, shape, program, options) => {
    const joined = await run(shape, program, options);
    const apart = await run(shape, program, { ...options, apart: true });
    expect(joined.launches).toBe(1);
    expect(apart.launches).toBe(2);
    expect(joined.values).toEqual(apart.values);
    expect(joined.values[1].some((value, i) => value !== joined.values[0][i])).toBe(true);
  });

  test("rows of a table, added to others: one launch, the bits of two", async () => {
    const table = make(9 * 12, 1);
    const positions = operand(device, [3, 0, 8, 3], [4], "int32");
    const ways = [];
    for (const apart of [false, true]) {
      const [picked, finished] = [out(48), out(48)];
      const others = make(48, 2);
      gpu.flush();
      before = gpu.counters.dispatches;
      kernels.indexSelect(table, positions, picked, { outer: 1, size: 9, inner: 12, count: 4 });
      if (apart) gpu.flush();
      kernels.elementwise(add, [others, picked], [finished], []);
      ways.push({ values: [await read(picked), await read(finished)], launches: launches() });
    }
    const [joined, separate] = ways;
    // Indices are checked once.
    expect([joined.launches, separate.launches]).toEqual([2, 2]);
    expect(joined.values).toEqual(separate.values);
    expect(joined.values[0].slice(0, 12)).toEqual((await read(table)).slice(36, 48));
  });

  test.each<[string, (made: Operand) => void]>([
    [
      "rows that are no whole vectors",
      () => {
        const made = out(15);
        kernels.matmul(make(12, 1), make(20, 2), made, layout(3, 5, 4));
        kernels.elementwise(add, [made, make(15, 3)], [out(15)], []);
      },
    ],
    ["two results", (made) => kernels.elementwise(both, [made, make(24, 3)], [out(24), out(24)], [])],
    ["another dtype", (made) => kernels.elementwise(isPositive, [made], [empty(device, [24], "bool")], [])],
    ["a vector for all rows", (made) => kernels.elementwise(add, [made, make(1, 3)], [out(24)], [])],
    ["in place", (made) => kernels.elementwise(activation, [made], [made], [2])],
    ["another tensor", () => kernels.elementwise(activation, [make(24, 3)], [out(24)], [2])],
  ])("two launches: %s", async (_, work) => {
    const made = out(24);
    kernels.matmul(make(12, 1), make(32, 2), made, layout(3, 8, 4));
    work(made);
    await read(made);
    expect(launches()).toBeGreaterThanOrEqual(2);
    expect([...gpu.sources()].some(({ name }) => name.startsWith("elementwise"))).toBe(true);
  });

  test("a product that is repeated writes to nobody else's memory, though its result went back while it waited", async () => {
    const [a, b] = [make(120, 1), make(144, 2)];
    const recording = device.record!(() => {
      const made = out(1080);
      kernels.matmul(a, b, made, layout(30, 36, 4));
      made.storage.release();
    })!;
    gpu.flush();
    const others = [5, 6].map((seed) => make(1080, seed));
    expect(recording.repeat()).toBe(true);
    expect(await read(others[0])).toEqual([...noise(1080, 5)]);
    expect(await read(others[1])).toEqual([...noise(1080, 6)]);
    recording.dispose();
  });

  test("what was given back since is not written early", async () => {
    const [a, b] = [make(12, 1), make(32, 2)];
    const expected = out(24);
    kernels.matmul(a, b, expected, layout(3, 8, 4));
    const values = await read(expected);
    // The product waits while its left side goes back, and an upload and a result ask for memory of that size.
    const made = out(24);
    kernels.matmul(a, b, made, layout(3, 8, 4));
    a.storage.release();
    const uploaded = make(12, 9);
    expect(await read(made)).toEqual(values);
    expect(await read(uploaded)).toEqual([...noise(12, 9)]);

    gpu.flush();
    before = gpu.counters.dispatches;
    const again = make(24, 5);
    const square = make(24, 6);
    const rows = out(4);
    kernels.matmul(again, square, rows, layout(1, 4, 6));
    again.storage.release();
    const finished = out(4);
    kernels.elementwise(activation, [rows], [finished], [1]);
    gpu.flush();
    expect(launches()).toBe(2);
    const [made4, finished4] = [await read(rows), await read(finished)];
    expect(finished4).toEqual(made4.map((value) => expect.closeTo(value / (1 + Math.exp(-value)), 5)));
  });

  test("a residual that is the left side; the result used twice", async () => {
    const [a, square] = [make(16, 1), make(16, 2)];
    const [made, sum, twice] = [out(16), out(16), out(16)];
    kernels.matmul(a, square, made, layout(4, 4, 4));
    kernels.elementwise(add, [a, made], [sum], []);
    kernels.elementwise(add, [made, made], [twice], []);
    expect(launches()).toBe(2);
    const [left, product] = [await read(a), await read(made)];
    expect(await read(sum)).toEqual(product.map((value, i) => Math.fround(left[i] + value)));
    expect(await read(twice)).toEqual(product.map((value) => 2 * value));
    const doubled = out(16);
    kernels.matmul(a, square, made, layout(4, 4, 4));
    kernels.elementwise(add, [made, made], [doubled], []);
    expect(await read(doubled)).toEqual(product.map((value) => 2 * value));
  });

  test("what is rehearsed joins as in earnest", async () => {
    const made = gpu.pipelines.count;
    const work = () => {
      const result = out(4 * 44);
      kernels.matmul(make(4 * 5, 1), make(5 * 44, 2), result, layout(4, 44, 5));
      const finished = out(4 * 44);
      kernels.elementwise(activation, [result], [finished], [1]);
      return finished;
    };
    await device.rehearse!(() => void work());
    expect(gpu.pipelines.count).toBe(made + 1);
    const { atOnce } = gpu.pipelines;
    await read(work());
    expect(gpu.pipelines.atOnce).toBe(atOnce);
  });
});
