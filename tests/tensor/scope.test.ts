import * as t from "tenon";
import { afterEach, beforeAll, describe, expect, test } from "vitest";

/** Its memory is counted to the byte; the CPU's comes in size classes. */
beforeAll(async () => void (await t.init({ device: "reference" })));

const live = () => t.memory().live;

describe("tidy", () => {
  test("frees what was made inside and is not returned", () => {
    const before = live();
    const y = t.tidy(() => t.zeros([4]).add(1).mul(2));
    expect(live() - before).toBe(16);
    y.dispose();
    expect(live()).toBe(before);
  });

  test("finds what is returned in lists, objects, maps, sets and cycles", () => {
    const before = live();
    const kept = t.tidy(() => {
      const make = () => t.zeros([1]);
      const result = {
        list: [make()],
        deep: { x: make() },
        map: new Map([["x", make()]]),
        set: new Set([make()]),
        bare: Object.assign(Object.create(null), { x: make() }),
      };
      make();
      return Object.assign(result, { self: result });
    });
    expect(live() - before).toBe(5 * 4);
    for (const x of [kept.list[0], kept.deep.x, kept.map.get("x")!, ...kept.set, kept.bare.x]) x.dispose();
    expect(live()).toBe(before);
  });

  test("nests: the outer scope frees what the inner one returned", () => {
    const before = live();
    t.tidy(() => {
      const inner = t.tidy(() => t.zeros([4]).add(1));
      expect(inner.disposed).toBe(false);
      expect(live() - before).toBe(16);
    });
    expect(live()).toBe(before);
  });

  test("keeps what a later backward() needs, and that frees it", async () => {
    const before = live();
    const w = t.tensor([2, 3], { requiresGrad: true });
    const loss = t.tidy(() => w.mul(w).exp().sum());
    expect(live() - before).toBeGreaterThan(12);
    loss.backward();
    expect(live() - before).toBe(8 + 4 + 8);
    expect([...(await w.grad!.data())].map((x) => Math.round(x))).toEqual([
      Math.round(4 * Math.exp(4)),
      Math.round(6 * Math.exp(9)),
    ]);
    for (const x of [w.grad!, w, loss]) x.dispose();
  });

  test("leaves a gradient that was assigned inside, as it leaves those of backward()", async () => {
    const w = t.tensor([1, 2], { requiresGrad: true });
    t.tidy(() => {
      w.mul(2).sum().backward();
      w.grad = w.grad!.clamp({ max: 0.5 });
    });
    w.mul(2).sum().backward();
    expect(await w.grad!.toArray()).toEqual([2.5, 2.5]);
  });

  test("frees everything when the function throws, and refuses a promise", () => {
    const before = live();
    expect(() =>
      t.tidy(() => {
        t.zeros([100]);
        throw new Error("mine");
      }),
    ).toThrow("mine");
    expect(() => t.tidy(async () => t.zeros([100]))).toThrow(
      "tidy: needs a synchronous function, got one that returns a promise. Read values with data() or item() after it.",
    );
    expect(() => t.noGrad(() => Promise.reject(new Error("unseen")))).toThrow(/^noGrad: needs a synchronous function/);
    expect(live()).toBe(before);
    expect(t.zeros([1], { requiresGrad: true }).mul(2).requiresGrad).toBe(true);
  });

  test("using frees at the end of the block", () => {
    const before = live();
    {
      using x = t.zeros([4]);
      expect(x.size).toBe(4);
    }
    expect(live()).toBe(before);
  });
});

describe("memory()", () => {
  test("counts by device; storage that is shared counts once", () => {
    const before = t.memory();
    const x = t.zeros([8], { device: "reference" });
    const y = x.reshape([2, 4]);
    const now = t.memory();
    expect(now.devices.reference!.live - (before.devices.reference?.live ?? 0)).toBe(32);
    expect(now.live - before.live).toBe(32);
    expect(now.peak).toBeGreaterThanOrEqual(now.live);
    x.dispose();
    expect(t.memory().live - before.live).toBe(32);
    y.dispose();
    expect(t.memory().live).toBe(before.live);
  });

  test("names what holds it, while that is traced", () => {
    const stop = t.traceAllocations();
    const x = t.ones([100], { requiresGrad: true });
    const y = x.exp().repeat([2]);
    expect(t.memory().sites).toEqual([
      { site: "expand", bytes: 800, count: 1 },
      { site: "outside of operations", bytes: 400, count: 1 },
      { site: "exp", bytes: 400, count: 1 },
    ]);
    y.sum().backward();
    for (const each of [x.grad!, x, y]) each.dispose();
    stop();
    expect(t.memory().sites).toEqual([]);
  });

  test("goes on naming for one tracer when another ends, once or twice", () => {
    const [first, second] = [t.traceAllocations(), t.traceAllocations()];
    second();
    second();
    const x = t.ones([100]).exp();
    expect(t.memory().sites.map(({ site }) => site)).toContain("exp");
    x.dispose();
    first();
    expect(t.memory().sites).toEqual([]);
  });
});

describe("a budget", () => {
  afterEach(() => t.init({ memoryBudget: undefined }));

  test("refuses an allocation before it happens, names the largest sites, and everything goes on", async () => {
    const stop = t.traceAllocations();
    const x = t.ones([1000]);
    const y = x.reshape([1000]);
    await t.init({ memoryBudget: live() + 5000 });
    const before = live();
    const error = (() => {
      try {
        t.tidy(() => x.exp().mul(2));
      } catch (e) {
        return e as t.MemoryBudgetError;
      }
    })()!;
    expect(error).toBeInstanceOf(t.MemoryBudgetError);
    expect(error.message).toMatch(
      /^mul: needs 3\.9 KiB more, got [\d.]+ \w+ in use of a budget of [\d.]+ \w+\. Free tensors, use a smaller batch, or raise memoryBudget\. Largest: /,
    );
    expect(error.details).toMatchObject({ bytes: 4000 });
    for (const make of [t.zeros, t.rand])
      expect(() => make([100, 100])).toThrow(new RegExp(`^${make.name}: needs 39\\.1 KiB more, got`));
    expect(live()).toBe(before);
    expect(await t.tidy(() => x.sum()).item()).toBe(1000);
    stop();
    x.dispose();
    y.dispose();
  });

  test("in backward() leaves the leaves usable", async () => {
    const x = t.ones([1000], { requiresGrad: true });
    const loss = t.tidy(() => x.mul(x).exp().sum());
    await t.init({ memoryBudget: live() + 5000 });
    const before = live();
    expect(() => loss.backward()).toThrow(t.MemoryBudgetError);
    expect(live()).toBeLessThanOrEqual(before);
    await t.init({ memoryBudget: undefined });
    t.tidy(() => x.mul(2).sum().backward());
    expect((await x.grad!.data())[0]).toBe(2);
    for (const each of [x.grad!, x, loss]) each.dispose();
  });

  test("must be a number above 0", async () => {
    await expect(t.init({ memoryBudget: 0 })).rejects.toThrow(
      "init: needs a number of bytes above 0 for memoryBudget, got 0.",
    );
  });
});

test("the collector frees what nobody disposed of: a loop over half a gigabyte stays small", async () => {
  await t.init({ device: "cpu", threads: 1 });
  const before = live();
  let most = 0;
  for (let i = 0; i < 128; i++) {
    t.zeros([512, 1024]).add(1);
    if (i % 8 === 7) {
      globalThis.gc!();
      await new Promise((resolve) => setTimeout(resolve)); // finalizers run in a later task
    }
    most = Math.max(most, live() - before);
  }
  expect(most).toBeLessThan(150e6);
  expect(live() - before).toBeLessThan(20e6);
});
