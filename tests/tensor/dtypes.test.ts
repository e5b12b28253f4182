/** Result types pair by pair, as PyTorch documents them (torch.promote_types, torch.result_type), and the 16-bit floats. */
import * as t from "tenon";
import { describe, expect, test } from "vitest";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../../src/core/dtype.js";

const order = ["bool", "uint8", "int32", "float16", "bfloat16", "float32"] as const;

/** torch.promote_types(row, column). */
const table: Record<t.DType, readonly t.DType[]> = {
  bool: ["bool", "uint8", "int32", "float16", "bfloat16", "float32"],
  uint8: ["uint8", "uint8", "int32", "float16", "bfloat16", "float32"],
  int32: ["int32", "int32", "int32", "float16", "bfloat16", "float32"],
  float16: ["float16", "float16", "float16", "float16", "float32", "float32"],
  bfloat16: ["bfloat16", "bfloat16", "bfloat16", "float32", "bfloat16", "float32"],
  float32: ["float32", "float32", "float32", "float32", "float32", "float32"],
};
const pairs = order.flatMap((a) => order.map((b, j) => [a, b, table[a][j]] as const));
const ofArithmetic = pairs.filter(([a, b]) => !a.includes("float16") && !b.includes("float16"));
const of = (dtype: t.DType) => t.ones([1], { dtype });

test.each(pairs)("%s with %s is %s", (a, b, expected) => {
  expect(t.promoteTypes(a, b)).toBe(expected);
  expect(t.cat([of(a), of(b)]).dtype).toBe(expected);
});

test.each(ofArithmetic)("operations on %s and %s give %s", (a, b, expected) => {
  for (const op of [t.add, t.mul, t.maximum, t.minimum]) expect(op(of(a), of(b)).dtype).toBe(expected);
  expect(t.where(of("bool"), of(a), of(b)).dtype).toBe(expected);
  if (expected !== "bool") expect(t.sub(of(a), of(b)).dtype).toBe(expected);
  for (const op of [t.eq, t.lt, t.ge, t.logicalAnd]) expect(op(of(a), of(b)).dtype).toBe("bool");
  expect(t.div(of(a), of(b)).dtype).toBe("float32");
  expect(t.pow(of(a), of(b)).dtype).toBe("float32");
});

/** A number beside a tensor: true, a whole number, a fraction. PyTorch's int64 is int32 here. */
test.each<[t.DType, t.DType, t.DType, t.DType]>([
  ["bool", "bool", "int32", "float32"],
  ["uint8", "uint8", "uint8", "float32"],
  ["int32", "int32", "int32", "float32"],
  ["float32", "float32", "float32", "float32"],
])("%s beside true is %s, beside 2 %s, beside 0.5 %s", (dtype, truth, whole, fraction) => {
  const results = [true, 2, 0.5].map((value) => [t.add(of(dtype), value).dtype, t.add(value, of(dtype)).dtype]);
  expect(results).toEqual([truth, whole, fraction].map((expected) => [expected, expected]));
});

test.each<[string, (x: t.Tensor) => t.Tensor, t.DType | "refused", t.DType, t.DType, t.DType]>([
  // bool, uint8, int32, float32
  ["neg", t.neg, "refused", "uint8", "int32", "float32"],
  ["abs", t.abs, "refused", "uint8", "int32", "float32"],
  ["square", t.square, "refused", "uint8", "int32", "float32"],
  ["relu", t.relu, "refused", "uint8", "int32", "float32"],
  ["sign", t.sign, "bool", "uint8", "int32", "float32"],
  ["floor", t.floor, "refused", "uint8", "int32", "float32"],
  ["exp", t.exp, "float32", "float32", "float32", "float32"],
  ["sqrt", t.sqrt, "float32", "float32", "float32", "float32"],
  ["sum", t.sum, "int32", "int32", "int32", "float32"],
  ["prod", t.prod, "int32", "int32", "int32", "float32"],
  ["cumsum", (x) => t.cumsum(x, { dim: 0 }), "int32", "int32", "int32", "float32"],
  ["amax", t.amax, "bool", "uint8", "int32", "float32"],
  ["amin", t.amin, "bool", "uint8", "int32", "float32"],
  ["mean", t.mean, "float32", "float32", "float32", "float32"],
  ["argmax", t.argmax, "int32", "int32", "int32", "int32"],
  ["sort", (x) => t.sort(x).values, "bool", "uint8", "int32", "float32"],
  ["clamp", (x) => t.clamp(x, { max: 1 }), "refused", "uint8", "int32", "float32"],
  ["clamp at a fraction", (x) => t.clamp(x, { max: 0.5 }), "float32", "float32", "float32", "float32"],
  ["isnan", t.isnan, "bool", "bool", "bool", "bool"],
  ["tril", (x) => t.tril(x.reshape([1, 1])), "bool", "uint8", "int32", "float32"],
])("%s", (_, op, ...expected) => {
  const got = (["bool", "uint8", "int32", "float32"] as const).map((dtype) => {
    try {
      return op(of(dtype)).dtype;
    } catch (error) {
      expect(error).toBeInstanceOf(t.DTypeError);
      return "refused";
    }
  });
  expect(got).toEqual(expected);
});

test("numbers beside integers: held to the last digit, and to a float where the result is one", async () => {
  const x = t.tensor([20_000_001, -3], { dtype: "int32" });
  expect(await x.clamp({ min: -2, max: 16_777_217 }).toArray()).toEqual([16_777_217, -2]);
  expect(x.clamp({ min: 0, max: Number.POSITIVE_INFINITY }).dtype).toBe("int32");
  expect(await t.tensor([3], { dtype: "int32" }).div(6e9).item()).toBe(Math.fround(5e-10));
});

test("integers wrap, as in PyTorch", async () => {
  const bytes = t.tensor(new Uint8Array([255, 0]));
  expect(await bytes.add(1).toArray()).toEqual([0, 1]);
  expect(await bytes.neg().toArray()).toEqual([1, 0]);
  expect(
    await t
      .tensor([2 ** 31 - 1], { dtype: "int32" })
      .add(1)
      .toArray(),
  ).toEqual([-(2 ** 31)]);
});

test.each(["reference", "cpu"] as const)("means and variances of integers do not, on %s", async (device) => {
  const big = t.tensor([2 ** 30, 2 ** 30, 2 ** 30], { dtype: "int32", device });
  const of = (values: t.Tensor[]) => Promise.all(values.map((value) => value.item()));
  expect(await of([big.mean(), big.var(), big.std()])).toEqual([2 ** 30, 0, 0]);
  const [bytes, truths] = [t.tensor(new Uint8Array([255, 0]), { device }), t.tensor([true, false], { device })];
  expect(await of([bytes.mean(), truths.mean({ dim: 0 })])).toEqual([127.5, 0.5]);
});

describe.each(["float16", "bfloat16"] as const)("%s", (dtype) => {
  const [decode, encode] = dtype === "float16" ? [fromFloat16, toFloat16] : [fromBfloat16, toBfloat16];
  const values = Float32Array.from({ length: 65536 }, (_, bits) => decode(bits));

  test("every pattern stands for one float32, in order, and comes back", () => {
    const top = dtype === "float16" ? 0x7c00 : 0x7f80;
    for (let bits = 0; bits < 65536; bits++) {
      const magnitude = bits & 0x7fff;
      if (magnitude > top) expect(values[bits]).toBeNaN();
      else if (encode(values[bits]) !== bits) expect.fail(`${bits} came back as ${encode(values[bits])}`);
    }
    for (let bits = 1; bits <= top; bits++) if (!(values[bits] > values[bits - 1])) expect.fail(`${bits} is not above`);
    expect([values[top], values[top | 0x8000], Object.is(values[0x8000], -0)]).toEqual([Infinity, -Infinity, true]);
    expect(decode(dtype === "float16" ? 0x3c00 : 0x3f80)).toBe(1);
    expect(decode(1)).toBe(dtype === "float16" ? 2 ** -24 : 2 ** -133);
  });

  test("what lies between rounds to the nearest, ties to even", () => {
    const top = dtype === "float16" ? 0x7bff : 0x7f7f;
    for (let bits = 0; bits < top; bits += 7) {
      const [low, high] = [values[bits], values[bits + 1]];
      const middle = Math.fround((low + high) / 2);
      if (middle === low || middle === high) continue;
      expect(encode(middle)).toBe(bits % 2 === 0 ? bits : bits + 1);
      expect(encode(Math.fround(middle + (high - middle) / 2))).toBe(bits + 1);
      expect(encode(Math.fround(low + (middle - low) / 2))).toBe(bits);
    }
  });

  test.each(["reference", "cpu"] as const)("conversion on %s is exact for all 65,536", async (device) => {
    const stored = t.fromData(values, [65536], { dtype, device });
    const wide = stored.to({ dtype: "float32" });
    const back = wide.to({ dtype });
    const canonical = (x: Float32Array) =>
      Array.from(new Uint32Array(x.buffer), (b) => ((b & 0x7fffffff) > 0x7f800000 ? -1 : b));
    expect(canonical((await wide.data()) as Float32Array)).toEqual(canonical(values.slice()));
    expect(await back.bytes()).toEqual(await stored.bytes());
    for (const x of [stored, wide, back]) x.dispose();
  });

  test("has no arithmetic, moves and prints", async () => {
    const x = t.tensor([1.5, -2], { dtype });
    expect(() => x.add(1)).toThrow(
      `add: has no arithmetic in ${dtype}, which is a storage type. Convert a first: x.to({ dtype: "float32" }).`,
    );
    expect(await x.flip([0]).toArray()).toEqual([-2, 1.5]);
    expect(await x.to({ dtype: "float32" }).add(1).toArray()).toEqual([2.5, -1]);
  });

  test("gradients pass through conversion, in the dtype of the leaf", async () => {
    const x = t.tensor([1.5, -2], { dtype, requiresGrad: true });
    x.to({ dtype: "float32" }).square().sum().backward();
    expect(x.grad!.dtype).toBe(dtype);
    expect(await x.grad!.toArray()).toEqual([3, -4]);
  });

  test.each(["reference", "cpu"] as const)(
    "gradients of what moves elements are summed in float32 on %s",
    async (device) => {
      const x = t.tensor([1.5, -2], { dtype, device, requiresGrad: true });
      const ids = t.tensor([1, 1, 0], { dtype: "int32", device });
      for (const moved of [x.expand([2048, 2]), x.indexSelect(0, ids), x.gather(0, ids)]) {
        x.grad = undefined;
        moved.to({ dtype: "float32" }).mul(0.5).sum().backward();
        expect(x.grad!.dtype).toBe(dtype);
        expect(await x.grad!.toArray()).toEqual(moved.ndim === 2 ? [1024, 1024] : [0.5, 1]);
      }
    },
  );
});

describe("to()", () => {
  test("copies between devices with gradients, both ways", async () => {
    for (const [from, to] of [
      ["reference", "cpu"],
      ["cpu", "reference"],
    ] as const) {
      const x = t.tensor([1, 2], { device: from, requiresGrad: true });
      const y = x.to({ device: to });
      expect([y.device, y.requiresGrad]).toEqual([to, true]);
      y.mul(3).sum().backward();
      expect(x.grad!.device).toBe(from);
      expect(await x.grad!.toArray()).toEqual([3, 3]);
      const both = x.to({ dtype: "int32", device: to });
      expect([both.dtype, both.device, await both.toArray()]).toEqual(["int32", to, [1, 2]]);
    }
  });

  test("gives the tensor itself where nothing changes, and refuses what it does not understand", () => {
    const x = t.zeros([1]);
    expect(x.to({ dtype: "float32", device: x.device })).toBe(x);
    expect(() => x.to("cpu" as any)).toThrow(
      'to: needs { dtype?, device? }, got cpu. For example x.to({ device: "cpu" }) or x.to({ dtype: "int32" }).',
    );
    expect(() => x.to({ type: "int32" } as any)).toThrow("to: needs { dtype?, device? }, got { type }.");
    expect(() => x.to({ dtype: "double" as any })).toThrow('to: unknown dtype "double".');
  });

  test("two devices in one operation are refused, with the to() that helps", () => {
    const error = (() => {
      try {
        t.add(t.zeros([1], { device: "cpu" }), t.zeros([1], { device: "reference" }));
      } catch (e) {
        return e as t.DeviceError;
      }
    })()!;
    expect(error).toBeInstanceOf(t.DeviceError);
    expect(error.message).toBe(
      'add: needs all inputs on one device, got cpu and reference. Move one: b.to({ device: "cpu" }).',
    );
    expect(error.details["devices"]).toEqual(["cpu", "reference"]);
  });
});
