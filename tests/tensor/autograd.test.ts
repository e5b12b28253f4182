import * as t from "tenon";
import { describe, expect, test } from "vitest";
import { cachedAttention } from "../../src/ops/cache.js";

const leaf = (data: t.NestedData) => t.tensor(data, { requiresGrad: true });
const gradOf = (x: t.Tensor) => x.grad!.toArray();

describe("backward()", () => {
  test("adds to .grad, of leaves alone", async () => {
    const x = leaf([1, 2]);
    const y = x.mul(3);
    y.sum().backward();
    x.mul(2).sum().backward();
    expect(await gradOf(x)).toEqual([5, 5]);
    expect([y.grad, y.isLeaf, x.isLeaf]).toEqual([undefined, false, true]);
  });

  test("sums contributions in reverse order of recording", async () => {
    // 1e8 + 1 - 1e8 depends on the order: the last recorded use comes first.
    const x = leaf(1);
    const uses = [x.mul(1), x.mul(-1e8), x.mul(1e8)];
    uses.reduce((a, b) => t.add(a, b)).backward();
    expect(await gradOf(x)).toBe(1e8 + -1e8 + 1);
    const z = leaf(1);
    [z.mul(1e8), z.mul(1), z.mul(-1e8)].reduce((a, b) => t.add(a, b)).backward();
    expect(await gradOf(z)).toBe(Math.fround(Math.fround(-1e8 + 1) + 1e8));
  });

  test("sums over what broadcasting repeated", async () => {
    const row = leaf([1, 2]);
    const column = leaf([[1], [2], [3]]);
    const scalar = leaf(2);
    row.add(column).mul(scalar).sum().backward();
    expect(await gradOf(row)).toEqual([6, 6]);
    expect(await gradOf(column)).toEqual([[4], [4], [4]]);
    expect(await gradOf(scalar)).toBe(3 * 3 + 2 * 6);
  });

  test("takes a gradient for a tensor that is no scalar, and the tensor may be a leaf", async () => {
    const x = leaf([1, 2]);
    const gradient = t.tensor([10, 1]);
    x.square().backward({ gradient });
    x.backward({ gradient });
    expect(await gradOf(x)).toEqual([30, 5]);
    expect(await gradient.toArray()).toEqual([10, 1]);
  });

  test("frees the graph unless it is to be retained", async () => {
    const x = leaf([1, 2]);
    const loss = x.square().sum();
    loss.backward({ retainGraph: true });
    loss.backward();
    expect(await gradOf(x)).toEqual([4, 8]);
    expect(() => loss.backward()).toThrow(
      "backward: the graph of sum was freed by an earlier backward(). Pass { retainGraph: true } to the first call, or compute the loss again.",
    );
  });

  test("gives each leaf a gradient of its own: scaling one changes no other", async () => {
    const [a, b] = [leaf([1, 2]), leaf([3, 4])];
    const seed = t.ones([2]);
    a.add(b).backward({ gradient: seed });
    expect(a.grad!.storage).not.toBe(b.grad!.storage);
    expect(a.grad!.storage).not.toBe(seed.storage);
  });

  test("a gradient is taken in the dtype of its tensor, and refused from another device", async () => {
    const x = leaf([3, 4]);
    x.mul(x).backward({ gradient: t.tensor([1, 2], { dtype: "int32" }) });
    expect(await gradOf(x)).toEqual([6, 16]);
    expect(() => x.mul(x).backward({ gradient: t.ones([2], { device: "reference" }) })).toThrow(
      "backward: needs a gradient on cpu, got reference.",
    );
    expect(() => t.grad(x.mul(x), [x], { gradient: 2 as any })).toThrow("grad: needs a gradient on cpu, got a number.");
    expect(await gradOf(x)).toEqual([6, 16]);
  });

  test("an assigned gradient is like its tensor, or refused; what arrives is added to it", async () => {
    const x = leaf([1, 2]);
    const row = (grad: unknown, got: string) => {
      expect(() => (x.grad = grad as any)).toThrow(t.GradientError);
      expect(() => (x.grad = grad as any)).toThrow(
        `grad: needs a gradient on the device of its tensor, like tensor([2], float32), got ${got}.`,
      );
    };
    row(t.ones([6]), "tensor([6], float32)");
    row(t.ones([1, 2]), "tensor([1, 2], float32)");
    row(t.tensor([5, 6], { dtype: "int32" }), "tensor([2], int32)");
    row(t.ones([2], { device: "reference" }), "tensor([2], float32)");
    row([1, 2], "an array");
    expect(x.grad).toBe(undefined);
    x.grad = t.tensor([5, 6]);
    x.mul(2.5).sum().backward();
    expect(await gradOf(x)).toEqual([7.5, 8.5]);
  });

  test("a leaf that was freed meanwhile still takes its gradient", async () => {
    const x = leaf([1, 2]);
    const loss = x.mul(3).sum();
    x.dispose();
    loss.backward();
    expect(await gradOf(x)).toEqual([3, 3]);
  });

  test("a rule that throws leaves each leaf a gradient of its own", () => {
    const bad = t.defineOp({
      name: "test.badRule",
      doc: "x, without a gradient",
      inputs: ["x"],
      composition: ([x]) => x.clone(),
      backward: () => {
        throw new Error("no rule");
      },
    });
    const leaves = [leaf([1]), leaf([1]), leaf([1])];
    const [a, b, c] = leaves;
    t.tidy(() => {
      const broken = bad(c); // its rule runs after those of what is recorded later
      const loss = a.add(b).add(broken).sum();
      expect(() => loss.backward()).toThrow("no rule");
    });
    expect(a.grad!.storage).not.toBe(b.grad!.storage);
    for (const each of leaves) {
      each.grad?.dispose();
      each.dispose();
    }
  });

  test("frees what no gradient reaches", () => {
    const first = t.defineOp({
      name: "test.firstOnly",
      doc: "a + b, with a gradient for a",
      inputs: ["a", "b"],
      promotion: "float",
      expr: ([x, y]) => t.expr.add(x, y),
      derivative: () => [1, undefined],
    });
    const x = leaf([1, 2]);
    const before = t.memory().live;
    const loss = t.tidy(() => first(x.mul(2), x.square().exp()).sum());
    const output = t.memory().live - before;
    loss.backward();
    x.grad!.dispose();
    loss.dispose();
    expect(output).toBeGreaterThan(0);
    expect(t.memory().live).toBe(before);
    x.dispose();
  });

  test.each<[string, () => unknown, string]>([
    [
      "no history",
      () => t.zeros([]).backward(),
      "backward: the tensor has no history that leads to a tensor with requiresGrad.",
    ],
    [
      "no scalar",
      () => leaf([1, 2]).mul(2).backward(),
      "backward: needs a scalar, got shape [2]. Reduce the tensor with sum() or mean(), or pass { gradient }.",
    ],
    [
      "a gradient of another shape",
      () =>
        leaf([1, 2])
          .mul(2)
          .backward({ gradient: t.ones([1]) }),
      "backward: needs a gradient of the shape of its tensor, got [1] and [2].",
    ],
    [
      "a graph made under noGrad",
      () => t.noGrad(() => leaf(1).mul(2)).backward(),
      "backward: the tensor has no history",
    ],
    [
      "a promise",
      () => t.grad(Promise.resolve() as any, []),
      "grad: needs a tensor, got a Promise. Call the function that makes the loss, without await, and give its result.",
    ],
    [
      "an input without a gradient",
      () => t.grad(leaf(1).mul(2), [t.zeros([1])]),
      "grad: needs inputs that require a gradient, input 0 does not.",
    ],
    [
      "requiresGrad of integers",
      () => (t.arange(2).requiresGrad = true),
      "requiresGrad: needs a float dtype, got int32.",
    ],
    [
      "requiresGrad taken from a result",
      () => (leaf(1).mul(2).requiresGrad = false),
      "requiresGrad: only leaves can be changed, got the result of an operation. Use detach() for a tensor without history.",
    ],
  ])("refuses %s", (_, run, message) => {
    expect(run).toThrow(message);
  });
});

describe("grad()", () => {
  test("gives gradients of leaves and of what lies between, and touches no .grad", async () => {
    const x = leaf([1, 2]);
    const y = x.square();
    const unused = leaf(1);
    const [dx, dy, none] = t.grad(y.mul(3).sum(), [x, y, unused]);
    expect(await dx.toArray()).toEqual([6, 12]);
    expect(await dy.toArray()).toEqual([3, 3]);
    expect(await none.toArray()).toBe(0);
    expect(x.grad).toBeUndefined();
  });
});

describe("control flow", () => {
  test("if: only the branch that ran has gradients", async () => {
    const f = (x: t.Tensor, up: boolean) => (up ? x.mul(3) : x.square());
    for (const [up, expected] of [
      [true, 3],
      [false, 4],
    ] as const) {
      const x = leaf(2);
      f(x, up).backward();
      expect(await gradOf(x)).toBe(expected);
    }
  });

  test("loops whose count depends on data", async () => {
    for (const [start, doublings] of [
      [1, 7],
      [30, 2],
      [200, 0],
    ]) {
      const x = leaf(start);
      let y: t.Tensor = x.mul(1);
      while ((await y.item()) < 100) y = y.mul(2);
      y.backward();
      expect(await gradOf(x)).toBe(2 ** doublings);
    }
  });

  test("shapes that change from call to call, and recursion", async () => {
    const w = leaf([
      [0.5, 0],
      [0, 0.5],
    ]);
    const chain = (x: t.Tensor, depth: number): t.Tensor => (depth === 0 ? x : chain(x.matmul(w), depth - 1));
    for (const rows of [1, 3, 2])
      chain(t.ones([rows, 2]), rows)
        .sum()
        .backward();
    // d/dw of sum(1 w) + sum(1 w^3) over 3 rows + sum(1 w^2) over 2 rows, each entry alike by symmetry of the ones.
    const expected = 1 + 3 * 3 * 0.25 + 2 * 2 * 0.5;
    expect(await gradOf(w)).toEqual([
      [expected, expected],
      [expected, expected],
    ]);
  });

  test("a chain of 20,000 operations", async () => {
    const x = leaf(1);
    t.tidy(() => {
      let y: t.Tensor = x;
      for (let i = 0; i < 20_000; i++) y = y.add(1);
      y.backward();
    });
    expect(await gradOf(x)).toBe(1);
  });

  test("detach() and noGrad() cut", async () => {
    const x = leaf(3);
    x.mul(x.detach()).backward();
    expect(await gradOf(x)).toBe(3);
    expect(t.noGrad(() => x.mul(2)).requiresGrad).toBe(false);
    expect(x.gt(1).requiresGrad).toBe(false);
  });
});

describe("writing in place", () => {
  test("a saved tensor that was changed is refused, naming the op that saved it", () => {
    const cache = t.ones([1, 2, 2]);
    const x = leaf([
      [
        [1, 2],
        [3, 4],
      ],
    ]);
    const loss = x.mul(cache).sum();
    cachedAttention(t.zeros([1, 1, 3]), cache, { heads: 1, before: { length: 0 } });
    expect(() => loss.backward()).toThrow("backward: a tensor that mul saved was changed in place afterwards.");
  });

  test("a tensor that requires a gradient is written only under noGrad, and not before that was checked", async () => {
    const p = leaf([[[1, 2]]]);
    const write = () => cachedAttention(t.zeros([1, 1, 3]), p, { heads: 1, before: { length: 0 } });
    expect(write).toThrow(
      "cachedAttention: a tensor that requires a gradient may be written only under noGrad(). Wrap the call: noGrad(() => …).",
    );
    expect(await p.toArray()).toEqual([[[1, 2]]]);
    t.noGrad(write);
    expect(await p.toArray()).toEqual([[[0, 0]]]);
  });
});
