import { describe, expect, test } from "vitest";
import { ExpansionBudget } from "../../src/data/parquet-budget.js";
import { checkVariants } from "../../src/data/parquet-variant.js";

const check = (bytes: number[], leaf = "value") =>
  checkVariants([Uint8Array.from(bytes)], leaf, new ExpansionBudget(bytes.length));
/** A list of the values at `offsets` from its first value; one byte each for the count and the offsets. */
const list = (offsets: number[], ...values: number[]) => [3, offsets.length, ...offsets, values.length, ...values];
const int8 = (value: number) => [3 << 2, value];

describe("cells of VARIANT", () => {
  test("honest ones pass: numbers, texts, lists, objects", () => {
    check(int8(5));
    check([(2 << 2) | 1, 104, 105]);
    check([16 << 2, 2, 0, 0, 0, 104, 105]);
    check(list([0, 2], ...int8(1), ...int8(2)));
    check([2, 2, 0, 1, 0, 2, 4, ...int8(1), ...int8(2)]);
    check([3, 0, 0]);
  });
  test("values that share their bytes are refused before they multiply", () => {
    // Thirty lists within each other, each of twice the same list: 2^30 values in 150 bytes.
    let bytes = int8(1);
    for (let depth = 0; depth < 30; depth++) bytes = list([0, 0], ...bytes);
    expect(() => check(bytes)).toThrow("the values of a VARIANT share their bytes");
  });
  test("offsets, counts and texts beyond the cell", () => {
    expect(() => check(list([200], ...int8(1)))).toThrow("points to byte");
    expect(() => check([(1 << 4) | 3, 255, 255, 255, 255])).toThrow("points to byte");
    expect(() => check([16 << 2, 255, 255, 255, 255])).toThrow("points to byte");
    expect(() => check([40 << 2])).toThrow("unknown type 40");
    expect(() => check([])).toThrow("points to byte 1");
  });
  test("lists too deep", () => {
    const bytes: number[] = [];
    for (let depth = 0; depth < 300; depth++) bytes.push(3, 1, 0, 0);
    expect(() => check([...bytes, ...int8(1)])).toThrow("more than 256 deep");
  });
  test("names lie one after the other and can be held by an object", () => {
    const names = (offsets: number[], text: string) => [1, offsets.length - 1, ...offsets, ...Buffer.from(text)];
    check(names([0, 1, 3], "abc"), "metadata");
    expect(() => check(names([0, 3, 1], "abc"), "metadata")).toThrow("overlap");
    expect(() => check(names([0, 9], "abc"), "metadata")).toThrow("points to byte");
    expect(() => check(names([0, 9], "__proto__"), "metadata")).toThrow("no object can hold");
  });
  test("cells that a dictionary repeats count every time", () => {
    const cell = Uint8Array.from(list([0], ...int8(1)));
    const budget = new ExpansionBudget(0, 20);
    expect(() => checkVariants([cell, cell, cell, cell], "value", budget)).toThrow("expand beyond its limit");
  });
});
