/** linearCrossEntropy: crossEntropy of linear, without the logits; by blocks, with the bits of the whole. */
import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { dispatch } from "../../src/tensor/dispatch.js";
import { getOp } from "../../src/tensor/op.js";
import { noise } from "../backend/operands.js";
import { testDevices } from "../setup/devices.js";

const floats = (shape: readonly number[], seed: number, device?: t.DeviceName) =>
  t.fromData(noise(shape[0] * (shape[1] ?? 1), seed), shape, { device });
const classes = (count: number, below: number, ignored: (i: number) => boolean = () => false) =>
  t.tensor(
    Array.from(noise(count, 7), (x, i) => (ignored(i) ? -100 : Math.floor(((x + 2) / 4) * below))),
    { dtype: "int32" },
  );

/** Values and gradients of `f` for x and weight, as float64 arrays. */
async function results(x: t.Tensor, weight: t.Tensor, f: (x: t.Tensor, weight: t.Tensor) => t.Tensor) {
  const [a, b] = [x.detach(), weight.detach()];
  a.requiresGrad = b.requiresGrad = true;
  const out = t.tidy(() => {
    const out = f(a, b);
    t.sum(t.mul(out, out)).backward();
    return out.detach();
  });
  const found = await Promise.all([out, a.grad!, b.grad!].map((of) => of.data()));
  for (const one of [out, a.grad!, b.grad!, a, b]) one.dispose();
  return found.map((values) => Array.from(values));
}

function expectClose(got: number[][], expected: number[][], tolerance: number) {
  got.forEach((list, k) => {
    const scale = Math.max(...expected[k].map(Math.abs), 1e-30);
    const at = list.findIndex((value, i) => !(Math.abs(value - expected[k][i]) < tolerance * scale));
    if (at >= 0) expect.fail(`${k}[${at}]: expected ${expected[k][at]}, got ${list[at]}`);
  });
}

/** The definition, in float64: losses per row, dX and dWeight for the gradient 2 * loss of each row. */
function definition(x: ArrayLike<number>, w: ArrayLike<number>, labels: ArrayLike<number>, width: number, smooth = 0) {
  const [rows, size] = [labels.length, w.length / width];
  const [losses, dx, dw] = [rows, x.length, w.length].map((n) => new Array<number>(n).fill(0));
  for (let r = 0; r < rows; r++) {
    if (labels[r] === -100) continue;
    const logits = Array.from({ length: size }, (_, j) => {
      let sum = 0;
      for (let p = 0; p < width; p++) sum += x[r * width + p] * w[j * width + p];
      return sum;
    });
    const most = Math.max(...logits);
    const total = logits.reduce((sum, z) => sum + Math.exp(z - most), 0);
    const target = (j: number) => (j === labels[r] ? 1 - smooth : 0) + smooth / size;
    losses[r] = logits.reduce((sum, z, j) => sum - target(j) * (z - most - Math.log(total)), 0);
    logits.forEach((z, j) => {
      const d = (Math.exp(z - most) / total - target(j)) * 2 * losses[r];
      for (let p = 0; p < width; p++) {
        dx[r * width + p] += d * w[j * width + p];
        dw[j * width + p] += d * x[r * width + p];
      }
    });
  }
  return [losses, dx, dw];
}

const rowsOp = (name = "linearCrossEntropyRows") => getOp(name);
type Call = (x: t.Tensor, w: t.Tensor, labels: t.Tensor, options?: t.CrossEntropyOptions) => t.Tensor;
const byBlocks: Call = (x, w, labels) => dispatch(rowsOp(), [x, w, labels], { ignoreIndex: -100 })[0];
const composed: Call = (x, w, labels) =>
  (rowsOp().definition.composition!([x, w, labels], { ignoreIndex: -100 }) as t.Tensor[])[0];

describe.each(testDevices)("on $name", ({ device, open }) => {
  beforeAll(open);
  const slow = device === "reference";

  test.each([
    [1, 1, 1],
    [3, 65, 9],
    [5, 4095, 4],
    [4, 4096, 4],
    [3, 4097, 5],
    [2, 9000, 3],
    [slow ? 17 : 513, 260, 8],
    [slow ? 9 : 1030, 5, 4],
  ])("%i rows, %i classes, %i wide: blocks have the bits of the composition", async (rows, size, width) => {
    const [x, w] = [floats([rows, width], 1), floats([size, width], 2)];
    const labels = classes(rows, size, (i) => i % 3 === 1);
    const whole = await results(x, w, (a, b) => composed(a, b, labels));
    expect(await results(x, w, (a, b) => byBlocks(a, b, labels))).toEqual(whole);
    expect(await results(x, w, (a, b) => t.linearCrossEntropy(a, b, labels, { reduction: "none" }))).toEqual(whole);
    expectClose(
      whole,
      definition(await x.data(), await w.data(), (await labels.data()) as unknown as number[], width),
      2e-5,
    );
  });

  for (const dtype of ["float16", "bfloat16"] as const)
    for (const [what, ...sixteen] of [
      ["the weight", "float32", dtype],
      ["x", dtype, "float32"],
      ["both", dtype, dtype],
    ] as const)
      test(`${what} in ${dtype}: the bits of the composition, by blocks or not, and gradients in the dtypes of the factors`, async () => {
        const labels = classes(5, 4100, (i) => i === 1);
        const [x, w] = [floats([5, 6], 1), floats([4100, 6], 2)].map((of, i) => of.to({ dtype: sixteen[i] }));
        const plain = (a: t.Tensor, b: t.Tensor) => t.crossEntropy(t.linear(a, b), labels, { reduction: "none" });
        const whole = await results(x, w, plain);
        for (const call of [composed, byBlocks, t.linearCrossEntropy])
          expect(await results(x, w, (a, b) => call(a, b, labels, { reduction: "none" }))).toEqual(whole);
        const [wideX, wideW] = [x, w].map((of) => of.to({ dtype: "float32" }));
        expect((await results(wideX, wideW, plain))[0]).toEqual(whole[0]);
        const smooth = { reduction: "none", labelSmoothing: 0.2 } as const;
        const [losses] = await results(x, w, (a, b) => t.linearCrossEntropy(a, b, labels, smooth));
        expectClose(
          [losses],
          [(await results(wideX, wideW, (a, b) => t.linearCrossEntropy(a, b, labels, smooth)))[0]],
          1e-6,
        );
      });

  // Plain TypeScript needs seconds for so many, and the tests of kernels compare it with cpu.
  if (device !== "reference")
    test("more logits than are kept: values, gradients, reductions", async () => {
      const [rows, size] = [1400, 6001];
      const [x, w] = [floats([rows, 2], 3), floats([size, 2], 4)];
      const labels = classes(rows, size, (i) => i % 5 === 1);
      for (const reduction of ["none", "sum", "mean"] as const) {
        const got = await results(x, w, (a, b) => t.linearCrossEntropy(a, b, labels, { reduction }));
        const whole = await results(x, w, (a, b) => t.crossEntropy(t.linear(a, b), labels, { reduction }));
        expect(got, reduction).toEqual(whole);
      }
    });

  test("a row has the bits that it has alone", async () => {
    const [x, w, labels] = [floats([3, 6], 5), floats([5000, 6], 6), classes(3, 5000)];
    const part = async (row: number, count: number) => {
      const found = dispatch(rowsOp(), [t.narrow(x, 0, row, count), w, t.narrow(labels, 0, row, count)], {
        ignoreIndex: -100,
      });
      return Promise.all(found.map(async (of) => Array.from(await of.data())));
    };
    const [losses, lse] = await part(0, 3);
    for (const row of [0, 1, 2]) expect(await part(row, 1)).toEqual([[losses[row]], [lse[row]]]);
  });

  test("label smoothing", async () => {
    const [x, w, labels] = [floats([4, 6], 8), floats([33, 6], 9), classes(4, 33, (i) => i === 2)];
    const options = { reduction: "none", labelSmoothing: 0.2 } as const;
    const got = await results(x, w, (a, b) => t.linearCrossEntropy(a, b, labels, options));
    const numbers = (await labels.data()) as unknown as number[];
    expectClose(got, definition(await x.data(), await w.data(), numbers, 6, 0.2), 2e-5);
    expectClose(got, await results(x, w, (a, b) => t.crossEntropy(t.linear(a, b), labels, options)), 2e-5);
  });

  test("nothing counts: no rows, and labels that are all ignored", async () => {
    const w = floats([7, 3], 1);
    for (const rows of [0, 2]) {
      const labels = classes(rows, 7, () => true);
      const x = floats([rows, 3], 2);
      expect(await t.linearCrossEntropy(x, w, labels).item()).toBeNaN();
      expect(await t.linearCrossEntropy(x, w, labels, { reduction: "sum" }).item()).toBe(0);
      for (const f of [byBlocks, composed]) {
        const [losses, dx, dw] = await results(x, w, (a, b) => f(a, b, labels));
        expect(losses).toEqual(new Array(rows).fill(0));
        expect(dx).toEqual(new Array(3 * rows).fill(0));
        expect(dw).toEqual(new Array(21).fill(0));
      }
    }
  });

  test("only the gradients that are wanted", async () => {
    const [x, w, labels] = [floats([3, 4], 1), floats([5, 4], 2), classes(3, 5)];
    const both = await results(x, w, (a, b) => byBlocks(a, b, labels));
    for (const i of [0, 1]) {
      const inputs = [x.detach(), w.detach()];
      inputs[i].requiresGrad = true;
      const out = byBlocks(inputs[0], inputs[1], labels);
      t.sum(t.mul(out, out)).backward();
      expect(inputs[1 - i].grad).toBeFalsy();
      expect(Array.from(await inputs[i].grad!.data())).toEqual(both[1 + i]);
    }
  });

  test("a label out of range is refused, and everything stays usable", () => {
    const w = floats([5, 2], 1);
    const wrong = t.tensor([0, 5], { dtype: "int32" });
    for (const call of [t.linearCrossEntropy, byBlocks]) {
      expect(() => call(floats([2, 2], 1), w, wrong)).toThrow(/needs index from 0 to 4, got 5 at position 1\./);
    }
    expect(() => t.linearCrossEntropy(floats([2, 2], 1), w, wrong)).toThrow(/^linearCrossEntropy: /);
  });
});

test("what is kept for the gradient does not grow with the vocabulary", async () => {
  await t.init({ device: "reference" });
  const [rows, width, size] = [1024, 2, 10_000];
  const held = (f: (x: t.Tensor, w: t.Tensor, labels: t.Tensor) => t.Tensor) => {
    const [x, w, labels] = [floats([rows, width], 1), floats([size, width], 2), t.zeros([rows], { dtype: "int32" })];
    w.requiresGrad = true;
    const before = t.memory().live;
    const loss = t.tidy(() => f(x, w, labels));
    const bytes = t.memory().live - before;
    for (const of of [loss, x, w, labels]) of.dispose();
    return bytes;
  };
  expect(held(t.linearCrossEntropy)).toBeLessThan(16 * rows);
});
