/** Products of stacks: which matrix meets which, against sums of elements. */
import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { testDevices } from "../setup/devices.js";

const count = (shape: number[]) => shape.reduce((a, b) => a * b, 1);
const whole = (shape: number[]) => t.arange(count(shape)).to({ dtype: "float32" }).reshape(shape);

describe.each(testDevices)("on $name", ({ open }) => {
  beforeAll(open);
  test.each<[number[], number[]]>([
    [
      [4, 3, 2, 3],
      [4, 3, 3, 2],
    ],
    [
      [2, 1, 3, 2, 3],
      [4, 1, 3, 2],
    ],
    [
      [1, 3, 2, 3],
      [2, 1, 3, 2],
    ],
    [
      [3, 1, 2, 3],
      [3, 4, 3, 2],
    ],
    [
      [2, 3],
      [2, 2, 3, 1],
    ],
    [
      [2, 3],
      [5, 0, 3, 2],
    ],
  ])("%j and %j", async (a, b) => {
    const [got, want] = t.tidy(() => {
      const [x, y] = [whole(a), whole(b)];
      return [t.matmul(x, y), t.mul(x.unsqueeze(-1), y.unsqueeze(-3)).sum({ dim: -2 })];
    });
    expect(got.shape).toEqual(want.shape);
    expect(await got.data()).toEqual(await want.data());
    for (const each of [got, want]) each.dispose();
  });
});
