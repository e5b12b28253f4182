/** PyTorch's table of cases as tests, for Node and for pages. */
import { readSafetensors } from "tenon/artifacts";
import { beforeAll, describe, expect, test } from "vitest";
import type { TestDevice } from "../setup/devices.js";
import { readFixture, readJson } from "../setup/fixture.js";
import { type FixtureCase, largestError, runCase, type StoredTensor } from "./fixture-cases.js";

const { cases } = await readJson<{ cases: FixtureCase[] }>("ops/ops.json");
const stored = readSafetensors(await readFixture("ops/ops.safetensors")).tensors as Record<string, StoredTensor>;

export function testFixtures(devices: readonly TestDevice[]): void {
  test("the fixture has the 167 cases of 87 operations", () => {
    expect(cases.length).toBe(167);
    expect(new Set(cases.map((c) => c.op)).size).toBe(87);
  });

  describe.each(devices)("PyTorch's values and gradients on $name", ({ device, slack = 1, open }) => {
    beforeAll(open);
    test.each(cases.map((c) => [c.id, c] as const))("%s", async (_, c) => {
      const { values, grads } = await runCase(c, stored, device);
      c.outputs.forEach((name, i) => {
        expect([...values[i].shape], `${name} shape`).toEqual([...stored[name].shape]);
        expect(largestError(values[i].got, stored[name].data), name).toBeLessThan(1e-5 * slack);
      });
      grads.forEach((grad, i) => {
        if (grad) expect(largestError(grad, stored[`${c.id}.grad${i}`].data), `grad ${i}`).toBeLessThan(1e-4 * slack);
      });
    });
  });
}
