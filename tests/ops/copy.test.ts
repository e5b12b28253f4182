/** `copy_`, and the short compositions that users of PyTorch look for. */
import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { testDevices } from "../setup/devices.js";

describe.each(testDevices)("on $name", ({ device, open }) => {
  beforeAll(open);

  test("copy_ writes in place, broadcasts and converts", async () => {
    const x = t.tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { device },
    );
    const alias = x.detach();
    const source = t.tensor([5, 6], { device, dtype: "int32" });
    expect(t.copy_(x, source)).toBe(x);
    expect(await alias.toArray()).toEqual([
      [5, 6],
      [5, 6],
    ]);
    const whole = t.tensor([0, 0], { device, dtype: "int32" }).copy_(t.tensor([1.5, -2.5], { device }));
    expect(await whole.toArray()).toEqual([1, -2]);
    const truth = t.tensor([false, true], { device }).copy_(source);
    expect(await truth.toArray()).toEqual([true, true]);
    for (const each of [x, alias, source, whole, truth]) each.dispose();
  });

  test("any, all, maskedFill and unbind give PyTorch's values", async () => {
    const results = t.tidy(() => {
      const x = t.tensor(
        [
          [0, 2, Number.NaN],
          [0, 0, 0],
        ],
        { device },
      );
      const none = t.zeros([2, 0], { device });
      const count = t.arange(7, undefined, 1, { device });
      return [
        x.any({ dim: 1 }),
        x.all(),
        x.all({ dim: 0, keepdim: true }),
        none.any({ dim: 1 }),
        none.all({ dim: 1 }),
        count.maskedFill(count.gt(4), -1),
        ...t
          .tensor(
            [
              [1, 2],
              [3, 4],
            ],
            { device },
          )
          .unbind({ dim: 1 }),
      ];
    });
    expect(await Promise.all(results.map((each) => each.toArray()))).toEqual([
      [true, false],
      false,
      [[false, false, false]],
      [false, false],
      [true, true],
      [0, 1, 2, 3, 4, -1, -1],
      [1, 3],
      [2, 4],
    ]);
    for (const each of results) each.dispose();
  });

  test("the gradient of std is 0 where all elements are equal", async () => {
    const x = t.tensor(
      [
        [2, 2],
        [1, 3],
        [Number.NaN, 1],
      ],
      { device, requiresGrad: true },
    );
    const result = x.std({ dim: 1 });
    expect(await result.toArray()).toEqual([0, Math.fround(Math.SQRT2), Number.NaN]);
    t.tidy(() => result.sum().backward());
    const [[a, b], [c, d]] = (await x.grad!.toArray()) as number[][];
    expect([a, b]).toEqual([0, 0]);
    expect(c).toBeCloseTo(-Math.SQRT1_2, 6);
    expect(d).toBeCloseTo(Math.SQRT1_2, 6);
    for (const each of [x.grad!, x, result]) each.dispose();
  });

  test("gradients flow through clone, maskedFill and unbind", async () => {
    const x = t.tensor([1, 2, 3, 4], { device, requiresGrad: true });
    t.tidy(() => {
      const [a, b] = x.clone().split(2);
      const [c] = b.unbind();
      t.add(a.maskedFill(a.gt(1), 9).sum(), c.mul(5)).backward();
    });
    expect(await x.grad!.toArray()).toEqual([1, 0, 5, 0]);
    x.grad!.dispose();
    x.dispose();
  });
});

test("copy_ refuses what gradients forbid, and a saved value that it changed", () => {
  t.tidy(() => {
    const leaf = t.ones([2], { requiresGrad: true });
    const plain = t.ones([2]);
    expect(() => leaf.copy_(plain)).toThrow(
      "copy_: a tensor that requires a gradient may be written only under noGrad()",
    );
    expect(() => plain.copy_(leaf)).toThrow(
      "copy_: a tensor that requires a gradient may be copied only under noGrad().",
    );
    expect(() => t.noGrad(() => leaf.copy_(plain))).not.toThrow();
    const product = leaf.mul(plain).sum();
    plain.copy_(t.zeros([2]));
    expect(() => product.backward()).toThrow(t.GradientError);
  });
});

const list = [1, 2] as any;
test.each<[string, () => unknown, string]>([
  ["copy_", () => t.ones([2]).copy_(t.ones([3, 2])), "copy_: needs a source that broadcasts to x, got [3, 2] and [2]."],
  ["a size that may be any", () => t.zeros([0]).reshape([0, -1]), "reshape: needs a shape of 0 elements, got [0] and"],
  ["squeeze of a list", () => t.squeeze(list), "squeeze: needs a tensor for x, got an array."],
  ["outer of lists", () => t.outer(list, list), "outer: needs a tensor for a, got an array."],
  ["pad of a list", () => t.pad(list, [1, 1]), "pad: needs a tensor for x, got an array."],
  ["pad by a number", () => t.pad(t.ones([2]), 1 as any), "pad: needs an array of whole numbers, got 1."],
  ["slice of a list", () => t.slice(list, [0, 1]), "slice: needs a tensor for x, got an array."],
  [
    "lstmCell of a list",
    () => t.lstmCell(list, list, list, {} as any),
    "lstmCell: needs a tensor for x, got an array.",
  ],
  ["stack of numbers", () => t.stack(list), "stack: needs a tensor for 0, got a number."],
  ["groupNorm of a list", () => t.groupNorm(list, 1), "groupNorm: needs a tensor for x, got an array."],
  ["split by a text", () => t.split(t.ones([2]), "1" as any), 'split: needs an array of whole numbers, got "1".'],
  ["clone of a list", () => t.clone(list), "clone: needs a tensor for x, got an array."],
])("%s is refused", (_, run, message) => {
  expect(() => t.tidy(run)).toThrow(message);
});
