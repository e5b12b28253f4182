/** Sizes of 0 and tensors without dims, where they make sense: what PyTorch gives. */
import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { testDevices } from "../setup/devices.js";

const z = (...shape: number[]) => t.zeros(shape);
const i = (...values: number[]) => t.tensor(values, { dtype: "int32" });

/** The call, its shape, and its values where there are any. */
const cases: [string, () => t.Tensor, number[], number[]?][] = [
  ["a row of no elements", () => t.exp(z(2, 0)), [2, 0]],
  ["broadcasting to nothing", () => t.add(z(0, 3), z(1)), [0, 3]],
  ["sum of nothing is 0", () => t.sum(z(0)), [], [0]],
  ["sum over a dim of size 0", () => t.sum(z(2, 0), { dim: 1 }), [2], [0, 0]],
  ["sum that leaves nothing", () => t.sum(z(0, 2), { dim: 1 }), [0]],
  ["product of nothing is 1", () => t.prod(z(2, 0), { dim: 1 }), [2], [1, 1]],
  ["mean of nothing is NaN", () => t.mean(z(0)), [], [Number.NaN]],
  ["logsumexp of nothing is -infinity", () => t.logsumexp(z(0)), [], [Number.NEGATIVE_INFINITY]],
  ["logsumexp over a dim of size 0", () => t.logsumexp(z(1, 0), { dim: 1, keepdim: true }), [1, 1], [-Infinity]],
  ["logsumexp that leaves nothing", () => t.logsumexp(z(0, 2), { dim: 1 }), [0]],
  ["amax that leaves nothing", () => t.amax(z(0, 2), { dim: 1 }), [0]],
  ["argmax that leaves nothing", () => t.argmax(z(0, 2), { dim: 1 }), [0]],
  ["cumsum", () => t.cumsum(z(2, 0), { dim: 1 }), [2, 0]],
  ["softmax of rows of nothing", () => t.softmax(z(2, 0)), [2, 0]],
  ["logSoftmax of no rows", () => t.logSoftmax(z(0, 3)), [0, 3]],
  ["matmul over an inner size of 0 is 0", () => t.matmul(z(2, 0), z(0, 3)), [2, 3], [0, 0, 0, 0, 0, 0]],
  ["matmul of no rows", () => t.matmul(z(0, 2), z(2, 3)), [0, 3]],
  ["matmul of no matrices", () => t.matmul(z(0, 2, 3), z(0, 3, 2)), [0, 2, 2]],
  ["linear without features is its bias", () => t.linear(z(1, 0), z(2, 0), t.ones([2])), [1, 2], [1, 1]],
  ["reshape", () => t.reshape(z(0, 3), [3, 0]), [3, 0]],
  ["permute", () => t.permute(z(0, 3), [1, 0]), [3, 0]],
  ["expand", () => t.expand(z(1, 3), [0, 3]), [0, 3]],
  ["repeat no times", () => t.repeat(z(3), [0]), [0]],
  ["slice of nothing", () => t.slice(z(3), [2, 1]), [0]],
  ["flip", () => t.flip(z(0, 2), [0, 1]), [0, 2]],
  ["pad of nothing is the padding", () => t.pad(z(0), [1, 2], { value: 3 }), [3], [3, 3, 3]],
  ["cat with nothing", () => t.cat([z(0, 2), t.ones([1, 2])]), [1, 2], [1, 1]],
  ["stack of nothing", () => t.stack([z(0), z(0)]), [2, 0]],
  ["split", () => t.split(z(0, 2), 3)[0], [0, 2]],
  ["tril", () => t.tril(z(0, 3)), [0, 3]],
  ["indexSelect of no index", () => t.indexSelect(z(3, 2), 0, i()), [0, 2]],
  ["embedding of no ids", () => t.embedding(i(), z(3, 2)), [0, 2]],
  ["gather of no index", () => t.gather(z(3), 0, i()), [0]],
  ["scatterAdd of no index", () => t.scatterAdd(t.ones([2]), 0, i(), z(0)), [2], [1, 1]],
  ["oneHot of no ids", () => t.oneHot(i(), 3), [0, 3]],
  ["sort of nothing", () => t.sort(z(2, 0)).values, [2, 0]],
  ["topk of none", () => t.topk(z(3), 0).values, [0]],
  ["layerNorm of rows of nothing", () => t.layerNorm(z(2, 0)), [2, 0]],
  ["crossEntropy of no rows is NaN", () => t.crossEntropy(z(0, 3), i()), [], [Number.NaN]],
  ["crossEntropy of ignored labels is NaN", () => t.crossEntropy(z(1, 3), i(-100)), [], [Number.NaN]],
  ["mseLoss of nothing is NaN", () => t.mseLoss(z(0), z(0)), [], [Number.NaN]],
  [
    "attention of no queries",
    () => t.scaledDotProductAttention(z(1, 2, 0, 4), z(1, 2, 3, 4), z(1, 2, 3, 4)),
    [1, 2, 0, 4],
  ],
  ["conv2d of no images", () => t.conv2d(z(0, 1, 3, 3), z(2, 1, 2, 2)), [0, 2, 2, 2]],
  // No dims: a scalar has one element.
  ["a row of a scalar", () => t.neg(t.tensor(2)), [], [-2]],
  ["amax of a scalar", () => t.amax(t.tensor(2)), [], [2]],
  [
    "maxPool2d of padded integers",
    () =>
      t.maxPool2d(
        t.tensor(
          [
            [
              [
                [-3, -2],
                [-1, -4],
              ],
            ],
          ],
          { dtype: "int32" },
        ),
        2,
        { padding: 1 },
      ),
    [1, 1, 2, 2],
    [-3, -2, -1, -4],
  ],
  ["argmax of a scalar", () => t.argmax(t.tensor(2), { dim: 0 }), [], [0]],
  ["cumsum of a scalar", () => t.cumsum(t.tensor(2), { dim: 0 }), [], [2]],
  ["softmax of a scalar", () => t.softmax(t.tensor(2)), [], [1]],
  ["sort of a scalar", () => t.sort(t.tensor(2)).values, [], [2]],
  ["gather from a scalar", () => t.gather(t.tensor(2), 0, t.tensor(0, { dtype: "int32" })), [], [2]],
  [
    "scatterAdd into a scalar",
    () => t.scatterAdd(t.tensor(2), 0, t.tensor(0, { dtype: "int32" }), t.tensor(3)),
    [],
    [5],
  ],
  ["flatten of a scalar", () => t.flatten(t.tensor(2)), [1], [2]],
  ["stack of scalars", () => t.stack([t.tensor(2), t.tensor(3)]), [2], [2, 3]],
];

describe.each(testDevices)("on $name", ({ open }) => {
  beforeAll(open);
  test.each(cases)("%s", async (_, call, shape, values = []) => {
    const result = t.tidy(call);
    expect([...result.shape]).toEqual(shape);
    expect([...(await result.data())]).toEqual(values);
    result.dispose();
  });
});

test("the gradient of an empty sum is there, and empty", async () => {
  const x = t.zeros([0, 2], { requiresGrad: true });
  t.sum(t.exp(x)).backward();
  expect(x.grad!.shape).toEqual([0, 2]);
});
