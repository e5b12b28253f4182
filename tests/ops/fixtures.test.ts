import { readFileSync } from "node:fs";
import { readSafetensors } from "tenon/artifacts";
import { describe, expect, test } from "vitest";
import { calls, type FixtureCase, largestError, runCase, type StoredTensor } from "./fixture-cases.js";

const folder = new URL("../fixtures/ops/", import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL("ops.json", folder), "utf8")) as { cases: FixtureCase[] };
const stored = readSafetensors(readFileSync(new URL("ops.safetensors", folder))).tensors as Record<
  string,
  StoredTensor
>;

test("the fixture has the 167 cases of 87 operations, and each operation a row", () => {
  expect(cases.length).toBe(167);
  expect([...new Set(cases.map((c) => c.op))].filter((op) => !(op in calls))).toEqual([]);
});

for (const device of ["reference"] as const) {
  describe(`PyTorch's values and gradients on ${device}`, () => {
    test.each(cases.map((c) => [c.id, c] as const))("%s", async (_, c) => {
      const { values, grads } = await runCase(c, stored, device);
      c.outputs.forEach((name, i) => {
        expect([...values[i].shape], `${name} shape`).toEqual([...stored[name].shape]);
        expect(largestError(values[i].got, stored[name].data), name).toBeLessThan(1e-5);
      });
      grads.forEach((grad, i) => {
        if (grad) expect(largestError(grad, stored[`${c.id}.grad${i}`].data), `grad ${i}`).toBeLessThan(1e-4);
      });
    });
  });
}
