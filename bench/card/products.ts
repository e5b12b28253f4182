/** Matrix products through Tenon's public API, beside the measured and the nominal roof. */

import { type DType, getOp, init, matmul, narrow, rand, type Tensor, tidy } from "../../src/index.js";
import { dispatchOne } from "../../src/tensor/dispatch.js";
import { reasonOf } from "../turns.js";
import { type Given, type Part, percent, perRound, tell } from "./part.js";
import { say, share, show, table } from "./report.js";

interface Product {
  m: number;
  n: number;
  k: number;
  dtypes?: [DType, DType];
  transposeA?: boolean;
  transposeB?: boolean;
}

const random = (shape: number[], dtype: DType): Tensor => tidy(() => rand(shape).sub(0.5).to({ dtype }));

/** The last number of a result: all that is read of it. */
const lastOf = async (x: Tensor): Promise<number> => {
  const one = tidy(() => narrow(narrow(x, 0, x.shape[0] - 1, 1), 1, x.shape[1] - 1, 1));
  const value = await one.item();
  one.dispose();
  return value as number;
};

/** What the last number should be, by the numbers of its row and its column. */
async function expected(a: Tensor, b: Tensor, { transposeA, transposeB }: Product): Promise<number> {
  const line = async (x: Tensor, dim: number) => {
    const values = tidy(() => narrow(x, dim, x.shape[dim] - 1, 1).to({ dtype: "float32" }));
    const data = (await values.data()) as Float32Array;
    values.dispose();
    return data;
  };
  const [row, column] = [await line(a, transposeA ? 1 : 0), await line(b, transposeB ? 0 : 1)];
  return row.reduce((sum, x, i) => sum + x * column[i], 0);
}

/**
 * Milliseconds of a product, and the share of them in which this side issues: near 1, they are its time and not the card's. Many are issued, and one number of the last is read: reading a result whole would measure
 * the bus between card and processor.
 */
async function productTime(given: Given, product: Product): Promise<{ time: number; issuing: number }> {
  const { m, n, k, dtypes = ["float32", "float32"], transposeA = false, transposeB = false } = product;
  const a = random(transposeA ? [k, m] : [m, k], dtypes[0]);
  const b = random(transposeB ? [n, k] : [k, n], dtypes[1]);
  const transposed = transposeA || transposeB;
  // The public function copies what it is to read transposed; gradients are products of the op itself.
  const multiply = () => (transposed ? dispatchOne(getOp("matmul"), [a, b], { transposeA, transposeB }) : matmul(a, b));
  try {
    let value = 0;
    let issuing = 1;
    const time = await perRound(given, async (times) => {
      const start = performance.now();
      for (let i = 1; i < times; i++) multiply().dispose();
      const c = multiply();
      const issued = performance.now();
      value = await lastOf(c).finally(() => c.dispose());
      issuing = (issued - start) / (performance.now() - start);
    });
    const wanted = await expected(a, b, product);
    if (!(Math.abs(value - wanted) < 1e-3 * Math.sqrt(k)))
      throw new Error(`the product is wrong: ${value}, not ${wanted}`);
    return { time, issuing };
  } finally {
    a.dispose();
    b.dispose();
  }
}

/** Squares by the size that goals name them by; a rehearsal takes smaller ones. */
const squares = ({ small }: Given): [string, number][] => [
  ["1024", small ? 64 : 1024],
  ["2048", small ? 128 : 2048],
  ["4096", small ? 256 : 4096],
];

const tellShares = (name: string, rate: number, measured: number | undefined, nominal: number | undefined) =>
  tell({
    figures: { [`${name} of measured`]: percent(rate, measured), [`${name} of nominal`]: percent(rate, nominal) },
  });

export const products: Part = async (given) => {
  await init({ device: "webgpu" });
  const { small, measured, nominal } = given;
  const row = table("m x n x k, float32", "ms", "TFLOP/s", "of the measured roof", "of nominal", "issuing");
  const measure = async (product: Product, goal?: string) => {
    const { m, n, k, transposeA, transposeB } = product;
    const name = `${m} x ${n} x ${k}${transposeA ? ", a transposed" : ""}${transposeB ? ", b transposed" : ""}`;
    try {
      const { time, issuing } = await productTime(given, product);
      const rate = (2 * m * n * k) / time / 1e-3;
      const shares = [share(rate, measured.flops), share(rate, nominal.flops)];
      row(name, show(time), show(rate / 1e12), ...shares, share(issuing, 1));
      if (goal) tellShares(goal, rate, measured.flops, nominal.flops);
    } catch (error) {
      row(name, "absent", reasonOf(error), "–", "–", "–");
    }
  };
  for (const [goal, size] of squares(given)) await measure({ m: size, n: size, k: size }, `product ${goal}`);
  const [m, n, k] = small ? [128, 128, 128] : [2048, 2048, 2048];
  for (const [transposeA, transposeB] of [
    [false, true],
    [true, false],
    [true, true],
  ])
    await measure({ m, n, k, transposeA, transposeB });
  // Products of a step of GPT-2: into the MLP and out of it, its weight's gradient, the head.
  const [tokens, width, words] = small ? [64, 48, 257] : [8192, 768, 50257];
  await measure({ m: tokens, n: 4 * width, k: width });
  await measure({ m: tokens, n: width, k: 4 * width });
  await measure({ m: width, n: 4 * width, k: tokens, transposeA: true });
  await measure({ m: tokens, n: words, k: width, transposeB: true });
  say();
  say(
    "Many products are issued and one number of the last is read and checked: the results stay on the card. Issuing: the share of the time in which this side issues them; near 100% the card waits for it.",
  );
};

export const half: Part = async (given) => {
  await init({ device: "webgpu" });
  const { small, measured, nominal } = given;
  const row = table(
    ...["m x n x k", "dtypes", "ms", "TFLOP/s", "of subgroup matrices", "of nominal", "of float32's roof", "issuing"],
  );
  const sizes: [string, number, number, number][] = [
    ...squares(given).map(([goal, size]): [string, number, number, number] => [goal, size, size, size]),
    small ? ["", 128, 192, 48] : ["", 8192, 3072, 768],
  ];
  const kinds: [DType, DType][] = [
    ["float16", "float16"],
    ["float32", "float16"],
  ];
  for (const dtypes of kinds) {
    for (const [goal, m, n, k] of sizes) {
      const name = `${m} x ${n} x ${k}`;
      try {
        const { time, issuing } = await productTime(given, { m, n, k, dtypes });
        const rate = (2 * m * n * k) / time / 1e-3;
        const shares = [share(rate, measured.half), share(rate, nominal.half), share(rate, measured.flops)];
        row(name, dtypes.join(" x "), show(time), show(rate / 1e12), ...shares, share(issuing, 1));
        if (goal && dtypes[0] === "float16") tellShares(`half ${goal}`, rate, measured.half, nominal.half);
      } catch (error) {
        row(name, dtypes.join(" x "), "absent", reasonOf(error), "–", "–", "–", "–");
      }
    }
  }
};
