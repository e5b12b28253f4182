import { expect, test } from "vitest";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import { IndexError } from "../../../src/core/errors.js";
import { empty, operand, valuesOf } from "../operands.js";

const backend = createReferenceBackend();
const { kernels } = backend;
const table = operand(backend, [0, 1, 10, 11, 20, 21], [3, 2]);
const split = { outer: 1, size: 3, inner: 2, count: 2 };

test("gather and scatterAdd follow the index element by element", () => {
  const index = operand(backend, [2, 0, 2, 1], [2, 2], "int32");
  const out = empty(backend, [2, 2]);
  kernels.gather(table, index, out, split);
  expect(valuesOf(backend, out)).toEqual([20, 1, 20, 11]);
  const sums = operand(backend, [1, 1, 1, 1, 1, 1], [3, 2]);
  kernels.scatterAdd(index, out, sums, split);
  expect(valuesOf(backend, sums)).toEqual([1, 2, 1, 12, 41, 1]);
});

test("indexSelect and indexAdd take whole rows", () => {
  const index = operand(backend, [2, 2], [2], "int32");
  const out = empty(backend, [2, 2]);
  kernels.indexSelect(table, index, out, split);
  expect(valuesOf(backend, out)).toEqual([20, 21, 20, 21]);
  const sums = operand(backend, [0, 0, 0, 0, 1, 1], [3, 2]);
  kernels.indexAdd(index, out, sums, split);
  expect(valuesOf(backend, sums)).toEqual([0, 0, 0, 0, 41, 43]);
});

test("an index outside is refused before anything is written", () => {
  const index = operand(backend, [0, 3], [2], "int32");
  const out = operand(backend, [7, 7, 7, 7], [2, 2]);
  expect(() => kernels.indexSelect(table, index, out, split)).toThrow(
    "indexSelect: needs index from 0 to 2, got 3 at position 1.",
  );
  const negative = operand(backend, [0, -1], [2], "int32");
  expect(() => kernels.indexAdd(negative, out, table, split)).toThrow(IndexError);
  expect(valuesOf(backend, out)).toEqual([7, 7, 7, 7]);
  expect(valuesOf(backend, table)).toEqual([0, 1, 10, 11, 20, 21]);
});
