import * as t from "tenon";
import { describe, expect, test } from "vitest";

const read = async (x: t.Tensor) => [x.dtype, [...x.shape], await x.toArray()];

describe("tensor()", () => {
  test.each<[t.NestedData, t.DType, number[], unknown]>([
    [2.5, "float32", [], 2.5],
    [true, "bool", [], true],
    [[1, 2], "float32", [2], [1, 2]],
    [[[1], [2]], "float32", [2, 1], [[1], [2]]],
    [[true, false], "bool", [2], [true, false]],
    [[true, 2], "float32", [2], [1, 2]],
    [[], "float32", [0], []],
    [[[], []], "float32", [2, 0], [[], []]],
    [new Float32Array([1.5]), "float32", [1], [1.5]],
    [new Float64Array([0.1]), "float32", [1], [Math.fround(0.1)]],
    [new Int32Array([-7]), "int32", [1], [-7]],
    [new Uint32Array([7]), "int32", [1], [7]],
    [new Int16Array([-7]), "int32", [1], [-7]],
    [new Uint16Array([7]), "int32", [1], [7]],
    [new Int8Array([-7]), "int32", [1], [-7]],
    [new Uint8Array([255]), "uint8", [1], [255]],
    [new Uint8ClampedArray([255]), "uint8", [1], [255]],
    [
      [new Float32Array([1, 2]), [3, 4]],
      "float32",
      [2, 2],
      [
        [1, 2],
        [3, 4],
      ],
    ],
  ])("of %j has dtype %s and shape %j", async (data, dtype, shape, values) => {
    expect(await read(t.tensor(data))).toEqual([dtype, shape, values]);
  });

  test("more dims than 64 are refused, of lists that hold themselves too", async () => {
    const nested = (depth: number) => {
      let list: t.NestedData = 1;
      for (let i = 0; i < depth; i++) list = [list];
      return list;
    };
    expect(t.tensor(nested(64)).shape.length).toBe(64);
    const endless: t.NestedData[] = [];
    endless.push(endless);
    for (const data of [nested(65), nested(20_000), endless])
      expect(() => t.tensor(data)).toThrow("tensor: needs at most 64 dims, got more.");
    const many = new Array(20_000).fill(1);
    expect(() => t.zeros(many)).toThrow("zeros: needs at most 64 dims, got 20000.");
  });

  test("takes a dtype: fractions are cut off, other than zero is true", async () => {
    expect(await t.tensor([1.9, -1.9], { dtype: "int32" }).toArray()).toEqual([1, -1]);
    expect(await t.tensor([0, 0.5], { dtype: "bool" }).toArray()).toEqual([false, true]);
    expect(await t.tensor([1 + 2 ** -12], { dtype: "float16" }).toArray()).toEqual([1]);
  });

  test.each<[string, () => unknown, string | RegExp]>([
    [
      "ragged lists",
      () => t.tensor([[1, 2], [3]]),
      "tensor: needs lists of equal length, got 1 at data[1] and 2 before it. Pad the rows to one length.",
    ],
    [
      "a number among lists",
      () => t.tensor([[1], 2]),
      "tensor: needs numbers at depth 2, got a number at data[1]. Flat values",
    ],
    [
      "a list among numbers",
      () => t.tensor([1, [2]]),
      "tensor: needs lists of equal length, got 1 at data[1] and a number before it. Pad the rows to one length.",
    ],
    ["null", () => t.tensor(null as any), "tensor: needs numbers at depth 0, got null at data. Flat"],
    ["undefined", () => t.tensor(undefined as any), "tensor: needs numbers at depth 0, got undefined at data. Flat"],
    ["a text", () => t.tensor("1" as any), "tensor: needs numbers at depth 0, got a string at data. Flat"],
    ["a hole", () => t.tensor(new Array(2) as any), "tensor: needs numbers at depth 1, got undefined at data[0]. Flat"],
    ["an object", () => t.tensor({ length: 1, 0: 1 } as any), /got an object at data/],
    [
      "deep down",
      () => t.tensor([[[1, 2]], [[3, "4" as any]]]),
      /at depth 3, got a string at data\[1\]\[0\]\[1\]\. Flat/,
    ],
    ["a tensor", () => t.tensor(t.zeros([1]) as any), /got a Tensor at data\. It is a tensor already/],
    [
      "big integers",
      () => t.tensor(new BigInt64Array(1) as any),
      "tensor: cannot read a BigInt64Array. Convert it to Float32Array or Int32Array.",
    ],
    ["a view", () => t.tensor(new DataView(new ArrayBuffer(4)) as any), /cannot read a DataView/],
    [
      "too large an integer",
      () => t.tensor(new Uint32Array([5, 2 ** 31])),
      "tensor: needs values from -2147483648 to 2147483647 for int32, got 2147483648 at 1. Use a wider dtype, or float32.",
    ],
    ["a negative byte", () => t.tensor([-1], { dtype: "uint8" }), /needs values from 0 to 255 for uint8, got -1 at 0/],
    ["NaN as an integer", () => t.tensor([Number.NaN], { dtype: "int32" }), /got NaN at 0/],
    [
      "an unknown dtype",
      () => t.tensor(1, { dtype: "float64" as any }),
      'tensor: unknown dtype "float64". Known are bool, uint8, int32, float16, bfloat16, float32.',
    ],
    [
      "a dtype for options",
      () => t.tensor(1, "int32" as any),
      /^tensor: needs its options as an object, got "int32"\./,
    ],
    [
      "gradients of integers",
      () => t.tensor(new Int32Array(1), { requiresGrad: true }),
      "tensor: needs a float dtype for requiresGrad, got int32.",
    ],
    [
      "an unknown device",
      () => t.tensor(1, { device: "tpu" as any }),
      /^tpu: is not open\. Devices are reference, cpu and webgpu\./,
    ],
  ])("refuses %s", (_, run, message) => {
    expect(run).toThrow(message);
  });
});

describe("the others", () => {
  test("zeros, ones, full and their likes", async () => {
    expect(await read(t.zeros([2]))).toEqual(["float32", [2], [0, 0]]);
    expect(await read(t.ones([1, 2], { dtype: "int32" }))).toEqual(["int32", [1, 2], [[1, 1]]]);
    expect(await read(t.full([], 2.5))).toEqual(["float32", [], 2.5]);
    const like = t.zeros([3], { dtype: "uint8", device: "reference" });
    expect([t.onesLike(like).dtype, t.onesLike(like).device, t.zerosLike(like).shape]).toEqual([
      "uint8",
      "reference",
      [3],
    ]);
  });

  test("an option that is undefined is not given", async () => {
    const none = { dtype: undefined, device: undefined };
    const like = t.zeros([3], { dtype: "uint8", device: "reference" });
    expect([t.onesLike(like, none).dtype, t.zerosLike(like, none).device]).toEqual(["uint8", "reference"]);
    expect([t.arange(3, undefined, 1, none).dtype, t.randint(0, 2, [1], none).dtype]).toEqual(["int32", "int32"]);
  });

  test.each<[string, () => unknown, string]>([
    ["full", () => t.full([2], 3e9, { dtype: "int32" }), "full: needs values from -2147483648 to 2147483647 for int32"],
    ["bytes", () => t.full([2], -1, { dtype: "uint8" }), "full: needs values from 0 to 255 for uint8, got -1"],
    ["no number", () => t.full([2], Number.NaN, { dtype: "int32" }), "full: needs values from -2147483648 to"],
    ["pad", () => t.tensor(new Uint8Array(1)).pad([1, 1], { value: 300 }), "pad: needs values from 0 to 255 for uint8"],
  ])("a value that the dtype cannot hold is refused: %s", (_, run, message) => {
    expect(() => t.tidy(run)).toThrow(message);
  });

  test("arange and eye", async () => {
    expect(await read(t.arange(3))).toEqual(["int32", [3], [0, 1, 2]]);
    expect(await read(t.arange(1, 2, 0.5))).toEqual(["float32", [2], [1, 1.5]]);
    expect(await read(t.arange(3, 0, -2))).toEqual(["int32", [2], [3, 1]]);
    expect(await read(t.arange(3, 0))).toEqual(["int32", [0], []]);
    expect(await t.eye(2, 3).toArray()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ]);
    expect(() => t.arange(0, 3, 0)).toThrow("arange: needs finite ends and a step other than 0, got 0, 3 and 0.");
    expect(() => t.arange(Number.NaN)).toThrow(/^arange: needs finite ends/);
    expect(() => t.eye(-1)).toThrow("eye: needs a shape of whole numbers from 0 up, got [-1, -1].");
    expect(() => t.zeros([1.5])).toThrow("zeros: needs a shape of whole numbers from 0 up, got [1.5].");
  });

  test("random numbers are a function of seed, stream, call and place, equal on both devices", async () => {
    const draw = async (device: t.DeviceName) => {
      t.manualSeed(7);
      const made = [
        t.rand([5], { device }),
        t.randn([5], { device }),
        t.randint(0, 9, [5], { device }),
        t.rand([5], { device }),
      ];
      return Promise.all(made.map((x) => x.toArray()));
    };
    const first = await draw("reference");
    expect(await draw("cpu")).toEqual(first);
    expect(first[0]).not.toEqual(first[3]);
    const state = t.getRngState();
    const next = await t.rand([3]).toArray();
    t.setRngState(state);
    expect(await t.rand([3]).toArray()).toEqual(next);
    expect(() => t.manualSeed(-1)).toThrow("seed: needs an integer from 0 to 2^53 - 1, got -1.");
    expect(() => t.manualSeed("abc" as never)).toThrow('2^53 - 1, got "abc".');
    expect(() => t.rand([2], { dtype: "int32" })).toThrow(/^rand: makes floats, got int32\. Take randint/);
    expect(() => t.randint(3, 3, [1])).toThrow("randint: needs integers low < high, got 3 and 3.");
  });

  test("what is refused draws nothing", () => {
    t.manualSeed(7);
    const before = t.getRngState();
    const bad = [
      { generator: 5 },
      { generator: null },
      { dtyp: "float32" },
      { dtype: "float31" },
      { device: "gpu" },
      { dtype: "bool", requiresGrad: true },
    ];
    for (const options of bad as object[]) {
      expect(() => t.rand([2], options)).toThrow(t.TenonError);
      expect(() => t.randn([2], options)).toThrow(t.TenonError);
      expect(() => t.randint(0, 9, [2], options)).toThrow(t.TenonError);
    }
    expect(() => t.randn([2], { generator: {} as never })).toThrow(
      "randn: needs a Generator for generator, got an object",
    );
    expect(() => t.randn([2.5])).toThrow("randn: needs a shape");
    expect(() => t.randint(0, 9, [-1])).toThrow("randint: needs a shape");
    expect(() => t.randint(0, 300, [2], { dtype: "uint8" })).toThrow("randint: needs values from 0 to 255 for uint8");
    expect(t.getRngState()).toEqual(before);
  });

  test("the default dtype is that of floats whose dtype is not given, by users: what ops make is float32", async () => {
    const x = t.tensor([1, 2], { requiresGrad: true });
    t.setDefaultDtype("bfloat16");
    try {
      x.gather(0, t.tensor([1], { dtype: "int32" }))
        .sum()
        .backward();
      expect(await x.grad!.toArray()).toEqual([0, 1]);
      const floats = [t.tensor(0.5), t.zeros([1]), t.arange(0, 1, 0.5), t.rand([1]), t.randn([1])];
      expect(floats.map(({ dtype }) => dtype)).toEqual(floats.map(() => "bfloat16"));
      expect([t.arange(2).dtype, t.randint(0, 2, [1]).dtype]).toEqual(["int32", "int32"]);
    } finally {
      t.setDefaultDtype("float32");
    }
    expect(() => t.setDefaultDtype("int32")).toThrow("setDefaultDtype: needs a float dtype, got int32.");
  });
});

describe("a tensor", () => {
  test("knows size, ndim, shape, dtype and device; a scalar has no dims and one element", async () => {
    const x = t.zeros([2, 3], { device: "reference" });
    expect([x.size, x.ndim, x.shape, x.dtype, x.device, x.isLeaf, x.requiresGrad]).toEqual([
      6,
      2,
      [2, 3],
      "float32",
      "reference",
      true,
      false,
    ]);
    const s = t.tensor(4);
    expect([s.size, s.ndim, await s.item(), await s.toArray(), [...(await s.data())]]).toEqual([1, 0, 4, 4, [4]]);
    await expect(x.item()).rejects.toThrow(
      "item: needs a tensor of one element, got shape [2, 3]. Use data() or toArray().",
    );
    x.dispose();
  });

  test("data() is a fresh array of one's own; NaN has one form", async () => {
    const x = t.tensor([1, 2]);
    const first = await x.data();
    first[0] = 9;
    expect([...(await x.data())]).toEqual([1, 2]);
    expect(first.buffer).toBeInstanceOf(ArrayBuffer);
    const odd = new Float32Array(new Uint32Array([0xffc12345]).buffer);
    expect([...new Uint32Array((await t.tensor(odd).bytes()).buffer)]).toEqual([0x7fc00000]);
    expect(await t.tensor([1.5], { dtype: "bfloat16" }).data()).toEqual(new Float32Array([1.5]));
  });

  test("values asked for before dispose() still arrive; afterwards it refuses", async () => {
    const x = t.tensor([1, 2]);
    const values = x.data();
    x.dispose();
    x.dispose();
    expect([...(await values)]).toEqual([1, 2]);
    expect(x.disposed).toBe(true);
    await expect(x.data()).rejects.toThrow(
      "tensor: of shape [2] was used after dispose(). It was freed by dispose() or by the end of a tidy(); return it from the tidy() to keep it.",
    );
    expect(() => x.add(1)).toThrow(t.DisposedError);
    expect(String(x)).toBe("tensor([2], dtype: float32, device: none) disposed");
  });

  test("Parameter takes over a value, requires a gradient and survives scopes", async () => {
    const p = t.tidy(() => {
      const made = new t.Parameter(t.ones([2]));
      t.tidy(() => made.mul(2));
      return { hidden: () => made };
    });
    const made = p.hidden();
    expect([made.requiresGrad, made.isLeaf, made instanceof t.Tensor]).toEqual([true, true, true]);
    expect(await made.toArray()).toEqual([1, 1]);
    expect(new t.Parameter(t.ones([1]), false).requiresGrad).toBe(false);
    made.dispose();
  });
});

test("a shape that the caller changes afterwards is none of the tensor's", () => {
  const shape = [2, 1];
  const x = t.fromData([1, 2], shape);
  shape[0] = 9;
  expect(x.shape).toEqual([2, 1]);
});

test.each<[string, () => unknown]>([
  ["arange", () => t.arange(1e12)],
  ["eye", () => t.eye(1e6)],
  ["randn", () => t.randn([1e6, 1e6])],
  ["randint", () => t.randint(0, 2, [1e6, 1e6])],
])("%s that no memory holds is a MemoryBudgetError, and draws nothing", (_, make) => {
  const before = t.getRngState();
  expect(make).toThrow(t.MemoryBudgetError);
  expect(t.getRngState()).toEqual(before);
});

test("integers that do not fit leave nothing behind", () => {
  const { live } = t.memory();
  expect(() => t.arange(0, 2 ** 33, 2 ** 32)).toThrow("arange: needs values from -2147483648 to 2147483647");
  expect(t.memory().live).toBe(live);
});

describe("printing", () => {
  test.each<[() => t.Tensor, string]>([
    [() => t.tensor(1.5, { device: "cpu" }), "tensor([], dtype: float32, device: cpu) 1.5000"],
    [
      () =>
        t.tensor(
          [
            [1, 2],
            [3, 4],
          ],
          { dtype: "int32" },
        ),
      "tensor([2, 2], dtype: int32, device: cpu) [[1, 2],\n [3, 4]]",
    ],
    [() => t.tensor([true, false]), "tensor([2], dtype: bool, device: cpu) [true, false]"],
    [
      () => t.tensor([1e-7, 1e7, Number.NaN, -Infinity]),
      "tensor([4], dtype: float32, device: cpu) [1.0000e-7, 1.0000e+7, NaN, -Infinity]",
    ],
    [() => t.tensor([0.5], { dtype: "bfloat16" }), "tensor([1], dtype: bfloat16, device: cpu) [0.5000]"],
    [() => t.zeros([2, 0]), "tensor([2, 0], dtype: float32, device: cpu) [[],\n []]"],
    [() => t.ones([1], { requiresGrad: true }), "tensor([1], dtype: float32, device: cpu, requiresGrad) [1.0000]"],
    [() => t.arange(2000), "tensor([2000], dtype: int32, device: cpu) [0, 1, 2, …, 1997, 1998, 1999]"],
  ])("%#", (make, text) => {
    expect(String(make())).toBe(text);
  });
});
