/**
 * Kernels of floats on random shapes and values of every kind (NaN, infinities, both zeros, subnormal and huge numbers):
 * `cpu` gives the bits of the reference backend, whatever the number of threads.
 */

import "../../src/node/platform.js";
import { expect, test } from "vitest";
import type { Backend } from "../../src/backend/backend.js";
import type { Operand } from "../../src/backend/kernels.js";
import { createReferenceBackend } from "../../src/backend/reference/backend.js";
import { createCpuBackend } from "../../src/backend/wasm/backend.js";
import type { DType } from "../../src/core/dtype.js";
import { empty, operand } from "../backend/operands.js";
import { numbers } from "../tokenizers/random-definition.js";

const ROUNDS = Number(process.env["TENON_ROUNDS"] ?? 20_000);
const random = numbers(Number(process.env["TENON_SEED"] ?? 1));
const pick = <T>(list: readonly T[]): T => list[random(list.length)];
const chance = (percent: number) => random(100) < percent;
const edges = [0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 63, 64, 65, 100];
const long = [4095, 4096, 4097, 8193];
const special = [0, -0, 1, NaN, Infinity, -Infinity, 1e-40, -1e-45, 3e38, -3e38, 88.7, -87.4, -103.9];

function floats(count: number): number[] {
  const kind = random(6);
  return Array.from({ length: count }, () => {
    const x = random(2 ** 20) / 2 ** 18 - 2;
    if (kind === 0 || (kind === 1 && chance(5))) return pick(special);
    return x * (kind === 2 ? 1e-38 : kind === 3 ? 1e38 : 1);
  });
}
const labels = (rows: number, size: number, ignored: number) =>
  Array.from({ length: rows }, () => (size === 0 || chance(20) ? ignored : random(size)));

interface Case {
  given: Record<string, number[]>;
  labels?: number[];
  /** Elements of the outputs. */
  out: Record<string, number>;
  types?: Record<string, DType>;
  run(kernels: Backend["kernels"], t: Record<string, Operand>): void;
}

const kinds: Record<string, () => Case> = {
  matmul() {
    const [m, n] = [pick(edges), chance(5) ? 2070 : pick(edges)];
    const k = m * n < 5000 && chance(10) ? pick([511, 513, 1030]) : pick(edges);
    const batch = pick([0, 1, 1, 1, 2, 7, 9]);
    const use = () => Array.from({ length: batch }, () => random(3));
    const [transposeA, transposeB, accumulate, hasBias] = [50, 50, 30, 40].map(chance);
    const layout = { m, n, k, transposeA, transposeB, accumulate, batchA: use(), batchB: use() };
    const given = { a: floats(3 * m * k), b: floats(3 * k * n), bias: floats(n) };
    return {
      given,
      out: { o: batch * m * n },
      run(kernels, { a, b, o, bias }) {
        kernels.fill(o, 0.5);
        kernels.matmul(a, b, o, hasBias ? { ...layout, bias } : layout);
      },
    };
  },
  reduce() {
    const split = { outer: pick(edges), size: chance(3) ? pick(long) : pick(edges), inner: pick([1, 1, pick(edges)]) };
    const { outer, size, inner } = split;
    const lines = outer * inner;
    const options = { descending: chance(50), count: random(size + 1) };
    const kept = lines * options.count;
    const kind = pick(["argmax", "argmin"] as const);
    return {
      given: { x: floats(lines * size) },
      out: { sum: lines, prod: lines, max: lines, min: lines, running: lines * size, v: kept, i: kept, arg: lines },
      types: { i: "int32", arg: "int32" },
      run(kernels, t) {
        for (const fold of ["sum", "prod", "max", "min"] as const) kernels.reduce(fold, t.x, t[fold], split);
        kernels.cumsum(t.x, t.running, split);
        kernels.sort(t.x, t.v, t.i, split, options);
        if (size > 0) kernels.argReduce(kind, t.x, t.arg, split);
        else kernels.fill(t.arg, 0);
      },
    };
  },
  rows() {
    const [rows, size] = [pick(edges), chance(3) ? pick(long) : pick(edges)];
    const n = rows * size;
    const [log, affine] = [50, 50].map(chance);
    const eps = pick([0, 1e-5, 1]);
    const given = { x: floats(n), y: floats(n), g: floats(n), w: floats(size), mean: floats(rows), rstd: floats(rows) };
    return {
      given,
      out: { s: n, ds: n, l: n, r: n, m1: rows, r1: rows, r2: rows, dl: n, dr: n, dw: size, db: size, dw2: size },
      run(kernels, t) {
        const w = affine ? t.w : undefined;
        kernels.softmax(t.x, t.s, { rows, size, log });
        kernels.softmaxBackward(t.y, t.g, t.ds, { rows, size, log });
        kernels.layerNorm(t.x, w, w, t.l, t.m1, t.r1, { rows, size, eps });
        kernels.rmsNorm(t.x, w, t.r, t.r2, { rows, size, eps });
        kernels.layerNormBackward(t.g, t.x, w, t.mean, t.rstd, t.dl, t.dw, t.db, { rows, size });
        kernels.rmsNormBackward(t.g, t.x, w, t.rstd, t.dr, t.dw2, { rows, size });
      },
    };
  },
  crossEntropy() {
    const [rows, width] = [chance(2) ? 513 : pick([0, 1, 2, 5, 17]), pick([0, 1, 2, 3, 4, 17])];
    const size = chance(5) ? pick(long) : pick(edges);
    const ignoreIndex = pick([-100, 0, -1]);
    const [shape, n] = [{ rows, size, width, ignoreIndex }, rows * size];
    return {
      given: { x: floats(n), f: floats(rows * width), w: floats(size * width), lse: floats(rows), g: floats(rows) },
      labels: labels(rows, size, ignoreIndex),
      out: { o1: rows, e1: rows, d: n, o2: rows, e2: rows, df: rows * width, dw: size * width },
      run(kernels, t) {
        kernels.crossEntropy(t.x, t.labels, t.o1, t.e1, shape);
        kernels.crossEntropyBackward(t.x, t.labels, t.lse, t.g, t.d, shape);
        kernels.linearCrossEntropy(t.f, t.w, t.labels, t.o2, t.e2, shape);
        kernels.linearCrossEntropyBackward(t.f, t.w, t.labels, t.lse, t.g, t.df, t.dw, shape);
      },
    };
  },
  attention() {
    const kvHeads = pick([1, 2, 3]);
    const [batch, heads, dim] = [
      pick([0, 1, 1, 2]),
      kvHeads * pick([1, 2, 3]),
      pick([0, 1, 2, 3, 4, 5, 8, 16, 17, 33]),
    ];
    const [queries, keys] = [pick(edges), chance(10) ? 200 : pick(edges)];
    const at = (of: number, rows: number) => ({ offset: 0, batch: of * rows * dim, head: dim, row: of * dim });
    const [q, k] = [at(heads, queries), at(kvHeads, keys)];
    const scale = pick([0.3, 1, -1, 0, 1e20]);
    const layout = { batch, heads, kvHeads, queries, keys, dim, causal: chance(60), scale, q, k, v: k, out: q };
    const [nq, nk, rows] = [batch * q.batch, batch * k.batch, batch * heads * queries];
    return {
      given: { q: floats(nq), k: floats(nk), v: floats(nk), o: floats(nq), lse: floats(rows), g: floats(nq) },
      out: { out: nq, e: rows, dq: nq, dk: nk, dv: nk },
      run(kernels, t) {
        kernels.attention(t.q, t.k, t.v, t.out, t.e, layout);
        kernels.attentionBackward(t.q, t.k, t.v, t.o, t.lse, t.g, t.dq, t.dk, t.dv, layout);
      },
    };
  },
};

const reference = createReferenceBackend();
const backends = [1, 2, 3].map((threads) => {
  const backend = createCpuBackend({ threads, wide: threads === 3, shared: threads > 1 });
  backend.engine.pool.threshold = 0;
  return backend;
});

function results(backend: Backend, { given, labels, out, types, run }: Case) {
  const t: Record<string, Operand> = {};
  for (const [name, values] of Object.entries(given)) t[name] = operand(backend, values);
  if (labels) t.labels = operand(backend, labels, undefined, "int32");
  for (const [name, count] of Object.entries(out)) t[name] = empty(backend, [count], types?.[name]);
  run(backend.kernels, t);
  const found = Object.keys(out).map((name) => ({ name, values: backend.view!(t[name]).slice() }));
  for (const { storage } of Object.values(t)) storage.release();
  return found;
}

test(`${ROUNDS} cases`, () => {
  const wrong: string[] = [];
  for (let round = 0; round < ROUNDS && wrong.length < 20; round++) {
    const name = pick(Object.keys(kinds));
    const one = kinds[name]();
    const want = results(reference, one);
    for (const backend of backends) {
      for (const [i, { name: output, values }] of results(backend, one).entries()) {
        const at = values.findIndex((x, j) => !Object.is(x, want[i].values[j]));
        const difference = `${values[at]} instead of ${want[i].values[at]}`;
        if (at >= 0) wrong.push(`round ${round}, ${name}, ${backend.info.threads} threads, ${output}: ${difference}`);
      }
    }
  }
  for (const backend of backends) {
    expect(backend.memory().live).toBe(0);
    backend.destroy();
  }
  expect(wrong).toEqual([]);
});
