/** Every kernel of `cpu` in portable numerics gives the bits of the reference backend, with any number of threads. */

import "../../../src/node/platform.js";
import { afterAll, describe, expect, test } from "vitest";
import type { Backend } from "../../../src/backend/backend.js";
import type { AttentionLayout, HeadLayout, Operand } from "../../../src/backend/kernels.js";
import { createReferenceBackend } from "../../../src/backend/reference/backend.js";
import { createCpuBackend } from "../../../src/backend/wasm/backend.js";
import type { DType } from "../../../src/core/dtype.js";
import * as e from "../../../src/core/expr.js";
import * as fn from "../../../src/core/functions.js";
import { Generator } from "../../../src/core/random.js";
import { type Shape, sizeOf } from "../../../src/core/shape.js";
import { empty, noise, operand } from "../operands.js";

const reference = createReferenceBackend();
const backends = [1, 2, 3, 5].map((threads) => {
  const backend = createCpuBackend({ threads, wide: threads === 3 });
  backend.engine.pool.threshold = 0;
  return backend;
});
afterAll(() => {
  for (const backend of backends) backend.destroy();
});

/** A tensor of a case: values given, or (for pure outputs) nothing. `written` ones are compared. */
interface Spec {
  values?: Iterable<number>;
  shape: Shape;
  dtype?: DType;
  written?: boolean;
}
const given = (values: Iterable<number>, shape?: Shape, dtype?: DType): Spec => {
  const list = [...values];
  return { values: list, shape: shape ?? [list.length], dtype };
};
const out = (shape: Shape, dtype?: DType): Spec => ({ shape, dtype, written: true });
const changed = (spec: Spec): Spec => ({ ...spec, written: true });

type Run<K extends string> = (backend: Backend, operands: Record<K, Operand>) => void;

function results<K extends string>(backend: Backend, specs: Record<K, Spec>, run: Run<K>) {
  const entries = Object.entries(specs) as [K, Spec][];
  const operands = Object.fromEntries(
    entries.map(([name, { values, shape, dtype }]) => [
      name,
      values ? operand(backend, values, shape, dtype) : empty(backend, shape, dtype),
    ]),
  ) as Record<K, Operand>;
  run(backend, operands);
  const found = entries
    .filter(([, spec]) => spec.written)
    .map(([name]) => ({ name, view: backend.view!(operands[name]).slice() }));
  for (const one of Object.values<Operand>(operands)) one.storage.release();
  return found;
}

/** Runs on the reference and on every cpu backend; all NaNs count as one. */
function same<K extends string>(label: string, specs: Record<K, Spec>, run: Run<K>): void {
  const want = results(reference, specs, run);
  for (const backend of backends) {
    const before = backend.memory().live;
    const got = results(backend, specs, run);
    expect(backend.memory().live, `${label}: memory`).toBe(before);
    want.forEach(({ name, view }, k) => {
      const at = view.findIndex((value, i) => !Object.is(value, got[k].view[i]));
      if (at >= 0) {
        expect.fail(
          `${label}, ${backend.info.threads} threads, ${name}[${at}]: want ${view[at]}, got ${got[k].view[at]}`,
        );
      }
    });
  }
}

const sizes = [1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 64, 65, 130];
const special = [
  0,
  -0,
  1,
  -1,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  1e-40,
  -1e-40,
  3e38,
  0.5,
];
const spread = (count: number, seed: number, scale = 1) =>
  noise(count, seed).map((x, i) => (i % 7 === 3 ? x * 30 * scale : x * scale));
const ints = (count: number, bound: number, seed = 1) =>
  Array.from(noise(count, seed), (x) => Math.floor(((x + 2) / 4) * bound));

describe("elementwise", () => {
  const x = e.input(0);
  const y = e.input(1);
  const programs: Record<string, e.Program> = {
    add: e.program(e.add(x, y)),
    relu: e.program(e.max(x, 0)),
    clamp: e.program(e.min(e.max(x, -0.5), 0.5)),
    gelu: e.program(
      e.mul(e.mul(x, 0.5), e.add(1, fn.tanh(e.mul(e.madd(e.mul(e.mul(x, x), x), 0.044715, x), 0.7978845608)))),
    ),
    silu: e.program(e.mul(x, fn.sigmoid(x))),
    exp: e.program(fn.exp(x)),
    log: e.program(fn.log(x)),
    erf: e.program(fn.erf(x)),
    sin: e.program(fn.sin(x)),
    pow: e.program(fn.pow(x, y)),
    round: e.program(e.nearest(x), e.floor(x), e.ceil(x), e.trunc(x)),
    select: e.program(e.select(e.and(e.lt(x, y), e.not(e.eq(x, 0))), x, e.neg(y))),
    twoOutputs: e.program(e.add(x, y), e.mul(x, y)),
    scaled: e.program(e.div(e.mul(x, e.scalar(0)), e.scalar(1))),
    chain: e.program(e.add(e.max(e.add(e.mul(x, y), x), 0), y)),
  };

  for (const [name, program] of Object.entries(programs)) {
    test(name, () => {
      for (const size of sizes) {
        const specs: Record<string, Spec> = { x: given([...special, ...spread(size, 1)].slice(0, size)) };
        specs.y = given(spread(size, 2));
        program.outputs.forEach((_, i) => {
          specs[`out${i}`] = out([size]);
        });
        same(`${name} ${size}`, specs, (backend, t) =>
          backend.kernels.elementwise(
            program,
            [t.x, t.y].slice(0, program.inputCount),
            program.outputs.map((_, i) => t[`out${i}`]),
            [1.7, 0.3].slice(0, program.scalarCount),
          ),
        );
      }
    });
  }

  test("broadcasting: every pattern of repeated dims", () => {
    const shapes: [Shape, Shape, Shape][] = [
      [[5, 7], [7], [5, 7]],
      [
        [5, 7],
        [5, 1],
        [5, 7],
      ],
      [
        [5, 1],
        [1, 7],
        [5, 7],
      ],
      [[], [3, 5], [3, 5]],
      [
        [2, 3, 4, 5],
        [3, 1, 5],
        [2, 3, 4, 5],
      ],
      [
        [2, 1, 4, 1],
        [1, 3, 1, 5],
        [2, 3, 4, 5],
      ],
      [
        [1, 129],
        [33, 1],
        [33, 129],
      ],
      [
        [4, 1, 66],
        [1, 3, 66],
        [4, 3, 66],
      ],
      [[], [], []],
    ];
    for (const [a, b, shape] of shapes) {
      same(
        `${a}|${b}`,
        { x: given(spread(sizeOf(a), 1), a), y: given(spread(sizeOf(b), 2), b), z: out(shape) },
        (backend, t) => backend.kernels.elementwise(programs.chain, [t.x, t.y], [t.z], []),
      );
    }
  });

  test("in place", () => {
    for (const size of sizes) {
      same(`in place ${size}`, { x: changed(given(spread(size, 1))), y: given(spread(size, 2)) }, (backend, t) =>
        backend.kernels.elementwise(programs.add, [t.x, t.y], [t.x], []),
      );
    }
  });

  test("integers, bytes and bools", () => {
    const a = e.input(0, "i32");
    const b = e.input(1, "i32");
    const p = e.program(
      e.add(e.mul(a, b), e.sub(a, b)),
      e.xor(e.shl(a, 3), e.shr(b, 2)),
      e.or(e.shrU(a, 5), e.and(a, b)),
      e.min(e.abs(a), e.max(b, e.neg(a))),
    );
    for (const size of sizes) {
      const far = ints(size, 2 ** 32, 3).map((v) => v | 0);
      same(
        `int32 ${size}`,
        {
          a: given(far, [size], "int32"),
          b: given(ints(size, 100, 4), [size], "int32"),
          w: out([size], "int32"),
          x: out([size], "int32"),
          y: out([size], "uint8"),
          z: out([size], "int32"),
        },
        (backend, t) => backend.kernels.elementwise(p, [t.a, t.b], [t.w, t.x, t.y, t.z], []),
      );
      const mixed = e.program(
        e.and(e.lt(e.toF32(e.input(0, "i32")), e.input(1)), e.input(2, "bool")),
        e.toF32(e.input(2, "bool")),
        e.toI32(e.mul(e.input(1), 1e9)),
        e.select(e.input(2, "bool"), e.input(0, "i32"), e.scalar(0, "i32")),
      );
      same(
        `mixed ${size}`,
        {
          a: given(ints(size, 256, 5), [size], "uint8"),
          b: given(spread(size, 6, 10)),
          c: given(ints(size, 2, 7), [size], "bool"),
          w: out([size], "bool"),
          x: out([size]),
          y: out([size], "int32"),
          z: out([size], "uint8"),
        },
        (backend, t) => backend.kernels.elementwise(mixed, [t.a, t.b, t.c], [t.w, t.x, t.y, t.z], [-7]),
      );
    }
  });

  test("16-bit floats: all values in, all roundings out", () => {
    const copy = e.program(x);
    for (const dtype of ["float16", "bfloat16"] as const) {
      const all = Array.from({ length: 65536 }, (_, bits) => bits);
      const load = (backend: Backend) => {
        const t = empty(backend, [65536], dtype);
        backend.write(t.storage.handle, new Uint8Array(Uint16Array.from(all).buffer));
        return t;
      };
      const values: Iterable<number>[] = [];
      for (const backend of [reference, ...backends]) {
        const from = load(backend);
        const to = empty(backend, [65536]);
        backend.kernels.elementwise(copy, [from], [to], []);
        values.push(backend.view!(to).slice());
        from.storage.release();
        to.storage.release();
      }
      for (const other of values.slice(1)) expect(other).toEqual(values[0]);
      const edges = [...values[0]].flatMap((v) => [v, v * (1 + 2 ** -9), v * (1 + 2 ** -11), v * (1 - 2 ** -12)]);
      const some = [...special, ...spread(2000, 8, 1e-6), ...spread(2000, 9, 1e4), ...edges];
      same(`round to ${dtype}`, { x: given(some), y: out([some.length], dtype) }, (backend, t) =>
        backend.kernels.elementwise(copy, [t.x], [t.y], []),
      );
      same(`${dtype} tail`, { x: given(some.slice(0, 7)), y: out([7], dtype) }, (backend, t) =>
        backend.kernels.elementwise(copy, [t.x], [t.y], []),
      );
    }
  });

  test("more operands than the pool hands to workers", () => {
    const names = Array.from({ length: 130 }, (_, i) => `x${i}`);
    const sum = e.program(names.map((_, i) => e.input(i)).reduce((a, b) => e.add(a, b)));
    const inputs = Object.fromEntries(names.map((name, i) => [name, given(spread(300, i))]));
    same("130 inputs", { ...inputs, out: out([300]) } as Record<string, Spec>, (backend, t) => {
      const all = names.map((name) => t[name]);
      backend.kernels.elementwise(sum, all, [t.out], []);
    });
  });

  test("constants, and one value for all", () => {
    const none = e.program(e.constant(2.5), e.add(e.scalar(0), 1));
    same("no inputs", { x: out([37]), y: out([37]) }, (backend, t) =>
      backend.kernels.elementwise(none, [], [t.x, t.y], [3]),
    );
  });
});

describe("copies", () => {
  const dtypes: DType[] = ["float32", "int32", "bool", "uint8", "float16"];
  test("fill", () => {
    for (const dtype of dtypes) {
      for (const value of [0, 1, -2.5, 300]) {
        same(`fill ${dtype} ${value}`, { x: out([33], dtype) }, (backend, t) => backend.kernels.fill(t.x, value));
      }
    }
  });

  test("permutations, reversals, slices, gaps", () => {
    const cases = [
      { shape: [3, 5, 7], inputStrides: [35, 7, 1], outputStrides: [35, 7, 1] },
      { shape: [5, 3, 7], inputStrides: [7, 35, 1], outputStrides: [21, 7, 1] },
      { shape: [3, 7, 5], inputStrides: [35, 1, 7], outputStrides: [35, 5, 1] },
      { shape: [7, 5, 3], inputStrides: [1, 7, 35], outputStrides: [15, 3, 1] },
      { shape: [7, 15], inputStrides: [1, 7], outputStrides: [15, 1] },
      { shape: [105], inputStrides: [-1], inputOffset: 104, outputStrides: [1] },
      { shape: [5, 7], inputStrides: [-7, 0], inputOffset: 30, outputStrides: [1, 5] },
      { shape: [2, 2, 2, 2, 3], inputStrides: [50, 20, 9, 4, 1], outputStrides: [24, 12, 6, 3, 1] },
      { shape: [4, 3], inputStrides: [3, 1], outputStrides: [20, 4], outputOffset: 2 },
      { shape: [], inputStrides: [], outputStrides: [], inputOffset: 3, outputOffset: 1 },
      { shape: [0, 3], inputStrides: [3, 1], outputStrides: [3, 1] },
      { shape: [9, 11], inputStrides: [1, 9], outputStrides: [11, 1] },
      { shape: [21, 5], inputStrides: [1, 21], outputStrides: [5, 1] },
      { shape: [2, 13, 4], inputStrides: [52, 1, 13], outputStrides: [52, 4, 1] },
    ];
    for (const dtype of dtypes) {
      for (const c of cases) {
        const copy = { inputOffset: 0, outputOffset: 0, ...c };
        same(
          `copy ${dtype} ${JSON.stringify(c)}`,
          { x: given(ints(105, 250), [105], dtype), y: changed(given(ints(105, 2), [105], dtype)) },
          (backend, t) => backend.kernels.stridedCopy(t.x, t.y, copy),
        );
      }
    }
  });
});

const splits = [
  { outer: 1, size: 1, inner: 1 },
  { outer: 3, size: 17, inner: 1 },
  { outer: 2, size: 5, inner: 7 },
  { outer: 1, size: 33, inner: 65 },
  { outer: 5, size: 100, inner: 3 },
  { outer: 1, size: 3, inner: 47 },
  { outer: 20, size: 2, inner: 33 },
  { outer: 1, size: 0, inner: 4 },
  { outer: 2, size: 0, inner: 1 },
  { outer: 0, size: 3, inner: 2 },
];
const long = [
  { outer: 1, size: 4096, inner: 1 },
  { outer: 1, size: 4097, inner: 1 },
  { outer: 2, size: 8191, inner: 1 },
  { outer: 1, size: 30011, inner: 1 },
  { outer: 1, size: 12300, inner: 5 },
  { outer: 7, size: 20500, inner: 1 },
];

describe("reductions", () => {
  for (const dtype of ["float32", "int32"] as const) {
    for (const kind of ["sum", "prod", "max", "min"] as const) {
      test(`${kind} ${dtype}`, () => {
        for (const split of [...splits, ...long]) {
          const { outer, size, inner } = split;
          const count = outer * size * inner;
          const values = dtype === "float32" ? spread(count, 1) : ints(count, 50);
          same(
            `${kind} ${JSON.stringify(split)}`,
            { x: given(values, [count], dtype), y: out([outer * inner], dtype) },
            (backend, t) => backend.kernels.reduce(kind, t.x, t.y, split),
          );
        }
      });
    }
    test(`argmax, argmin, cumsum ${dtype}`, () => {
      for (const split of splits.filter(({ size }) => size > 0)) {
        const { outer, size, inner } = split;
        const count = outer * size * inner;
        const values =
          dtype === "float32" ? [...spread(count, 1)].map((x, i) => (i % 11 === 5 ? Number.NaN : x)) : ints(count, 5);
        const specs = { x: given(values, [count], dtype), y: out([outer * inner], "int32"), z: out([count], dtype) };
        same(`arg ${JSON.stringify(split)}`, { x: specs.x, y: specs.y }, (backend, t) =>
          backend.kernels.argReduce("argmax", t.x, t.y, split),
        );
        same(`arg ${JSON.stringify(split)}`, { x: specs.x, y: specs.y }, (backend, t) =>
          backend.kernels.argReduce("argmin", t.x, t.y, split),
        );
        same(`cumsum ${JSON.stringify(split)}`, { x: specs.x, z: specs.z }, (backend, t) =>
          backend.kernels.cumsum(t.x, t.z, split),
        );
      }
    });
  }

  test("the first of equal extremes, of NaNs and of zeros, wherever it lies", () => {
    const values = [1, 3, 3, Number.NaN, 0, -0, -5, Number.NEGATIVE_INFINITY];
    // Around one vector, and around four that are walked side by side.
    for (const size of [7, 8, 9, 12, 13, 29, 31, 32, 33, 36, 47, 48, 51, 100]) {
      const split = { outer: 40, size, inner: 1 };
      for (const kept of [2, 3, 5, values.length]) {
        const some = ints(40 * size, kept, kept).map((v) => values[v]);
        for (const kind of ["max", "min"] as const) {
          same(`${kind} of ${kept} values, rows of ${size}`, { x: given(some), y: out([40]) }, (backend, t) =>
            backend.kernels.reduce(kind, t.x, t.y, split),
          );
        }
        for (const kind of ["argmax", "argmin"] as const) {
          same(`${kind} of ${kept} values, rows of ${size}`, { x: given(some), y: out([40], "int32") }, (backend, t) =>
            backend.kernels.argReduce(kind, t.x, t.y, split),
          );
        }
      }
    }
  });

  test("extremes give NaN where there is one, and order the zeros", () => {
    for (const kind of ["max", "min"] as const) {
      for (const [split, values] of [
        [{ outer: 3, size: 4, inner: 1 }, [1, Number.NaN, 3, 2, -0, 0, -0, 0, 5, 6, 7, Number.NEGATIVE_INFINITY]],
        [{ outer: 1, size: 3, inner: 4 }, [1, Number.NaN, -0, 2, 0, 0, 0, 0, 5, 6, -0, Number.NEGATIVE_INFINITY]],
      ] as const) {
        same(`${kind} special`, { x: given(values), y: out([split.outer * split.inner]) }, (backend, t) =>
          backend.kernels.reduce(kind, t.x, t.y, split),
        );
      }
    }
  });

  test("sort: stable both ways, NaN largest, zeros equal", () => {
    for (const split of [
      { outer: 2, size: 33, inner: 3 },
      { outer: 1, size: 300, inner: 1 },
      { outer: 1, size: 1, inner: 1 },
    ]) {
      const count = split.outer * split.size * split.inner;
      for (const [dtype, values] of [
        [
          "float32",
          Array.from({ length: count }, (_, i) => (i % 3 ? special[i % special.length] : Math.round(noise(count)[i]))),
        ],
        ["int32", ints(count, 9).map((v) => (v - 4) * 2 ** 28)],
      ] as const) {
        for (const descending of [false, true]) {
          for (const kept of [1, split.size]) {
            const size = split.outer * kept * split.inner;
            same(
              `sort ${dtype} ${descending}`,
              { x: given(values, [count], dtype), v: out([size], dtype), i: out([size], "int32") },
              (backend, t) => backend.kernels.sort(t.x, t.v, t.i, split, { descending, count: kept }),
            );
          }
        }
      }
    }
  });
});

describe("indexing", () => {
  const cases = [
    { outer: 1, size: 5, inner: 1, count: 9 },
    { outer: 2, size: 4, inner: 33, count: 3 },
    { outer: 1, size: 50, inner: 130, count: 40 },
    { outer: 3, size: 7, inner: 5, count: 0 },
  ];
  test("gather and indexSelect of every dtype", () => {
    for (const split of cases) {
      const { outer, size, inner, count } = split;
      for (const dtype of ["float32", "int32", "uint8", "float16"] as const) {
        const x = given(ints(outer * size * inner, 200), undefined, dtype);
        same(
          `gather ${JSON.stringify(split)}`,
          {
            x,
            i: given(ints(outer * count * inner, size), undefined, "int32"),
            y: out([outer * count * inner], dtype),
          },
          (backend, t) => backend.kernels.gather(t.x, t.i, t.y, split),
        );
        same(
          `indexSelect ${JSON.stringify(split)}`,
          { x, i: given(ints(count, size), undefined, "int32"), y: out([outer * count * inner], dtype) },
          (backend, t) => backend.kernels.indexSelect(t.x, t.i, t.y, split),
        );
      }
    }
  });
  test("scatterAdd and indexAdd, indices repeated", () => {
    for (const split of cases) {
      const { outer, size, inner, count } = split;
      for (const dtype of ["float32", "int32"] as const) {
        const source = given(
          dtype === "float32" ? spread(outer * count * inner, 3) : ints(outer * count * inner, 99),
          undefined,
          dtype,
        );
        const y = changed(
          given(
            dtype === "float32" ? spread(outer * size * inner, 4) : ints(outer * size * inner, 99),
            undefined,
            dtype,
          ),
        );
        same(
          `scatterAdd ${JSON.stringify(split)}`,
          { source, i: given(ints(outer * count * inner, size), undefined, "int32"), y },
          (backend, t) => backend.kernels.scatterAdd(t.i, t.source, t.y, split),
        );
        same(
          `indexAdd ${JSON.stringify(split)}`,
          { source, i: given(ints(count, size), undefined, "int32"), y },
          (backend, t) => backend.kernels.indexAdd(t.i, t.source, t.y, split),
        );
      }
    }
  });
  test("an index out of range is refused before anything is written", () => {
    for (const backend of backends) {
      const [x, i, y] = [operand(backend, [1, 2]), operand(backend, [0, 2], [2], "int32"), operand(backend, [7, 7])];
      expect(() => backend.kernels.indexSelect(x, i, y, { outer: 1, size: 2, inner: 1, count: 2 })).toThrow(
        "indexSelect: needs index from 0 to 1, got 2 at position 1.",
      );
      expect([...backend.view!(y)]).toEqual([7, 7]);
      for (const t of [x, i, y]) t.storage.release();
    }
  });
});

describe("rows", () => {
  const shapes = [
    ...sizes.map((size) => ({ rows: 3, size })),
    { rows: 2, size: 4096 },
    { rows: 3, size: 9001 },
    { rows: 40, size: 48 },
  ];
  const random = (count: number, seed: number) => spread(count, seed);

  test("softmax and log-softmax, forward and backward", () => {
    for (const { rows, size } of shapes) {
      for (const log of [false, true]) {
        const count = rows * size;
        same(`softmax ${rows}x${size}`, { x: given(random(count, 1)), y: out([count]) }, (backend, t) =>
          backend.kernels.softmax(t.x, t.y, { rows, size, log }),
        );
        const y = log ? random(count, 2).map((v) => -Math.abs(v)) : random(count, 2).map((v) => Math.abs(v) / 50);
        same(
          `softmaxBackward ${rows}x${size}`,
          { y: given(y), g: given(random(count, 3)), d: out([count]) },
          (backend, t) => backend.kernels.softmaxBackward(t.y, t.g, t.d, { rows, size, log }),
        );
      }
    }
  });

  test("softmax of masked, infinite and NaN rows", () => {
    const inf = Number.POSITIVE_INFINITY;
    const values = [-inf, 1, -inf, 2, 0, -inf, -inf, -inf, -inf, -inf, 1, inf, 2, 3, 4, Number.NaN, 1, 2, 3, 4];
    for (const log of [false, true]) {
      same("softmax special", { x: given(values), y: out([20]) }, (backend, t) =>
        backend.kernels.softmax(t.x, t.y, { rows: 4, size: 5, log }),
      );
    }
  });

  test("layer norm and RMS norm, forward and backward, with and without weights", () => {
    for (const { rows, size } of [...shapes, { rows: 4100, size: 7 }, { rows: 70, size: 129 }]) {
      const count = rows * size;
      for (const affine of [true, false]) {
        const w = given(random(size, 5));
        const b = given(random(size, 6));
        same(
          `layerNorm ${rows}x${size}`,
          { x: given(random(count, 1)), w, b, y: out([count]), mean: out([rows]), rstd: out([rows]) },
          (backend, t) =>
            backend.kernels.layerNorm(t.x, affine ? t.w : undefined, affine ? t.b : undefined, t.y, t.mean, t.rstd, {
              rows,
              size,
              eps: 1e-5,
            }),
        );
        same(
          `rmsNorm ${rows}x${size}`,
          { x: given(random(count, 1)), w, y: out([count]), rstd: out([rows]) },
          (backend, t) =>
            backend.kernels.rmsNorm(t.x, affine ? t.w : undefined, t.y, t.rstd, { rows, size, eps: 1e-6 }),
        );
        const saved = {
          g: given(random(count, 2)),
          x: given(random(count, 1)),
          w,
          mean: given(random(rows, 3)),
          rstd: given(random(rows, 4).map((v) => Math.abs(v) + 0.1)),
          dx: out([count]),
        };
        const gradients = affine ? { dw: out([size]), db: out([size]) } : { dw: given([0]), db: given([0]) };
        same(`layerNormBackward ${rows}x${size}`, { ...saved, ...gradients }, (backend, t) =>
          backend.kernels.layerNormBackward(
            t.g,
            t.x,
            affine ? t.w : undefined,
            t.mean,
            t.rstd,
            t.dx,
            affine ? t.dw : undefined,
            affine ? t.db : undefined,
            { rows, size },
          ),
        );
        const rms = { g: saved.g, x: saved.x, w, rstd: saved.rstd, dx: out([count]), dw: gradients.dw };
        same(`rmsNormBackward ${rows}x${size}`, rms, (backend, t) =>
          backend.kernels.rmsNormBackward(t.g, t.x, affine ? t.w : undefined, t.rstd, t.dx, affine ? t.dw : undefined, {
            rows,
            size,
          }),
        );
      }
    }
  });

  test("cross entropy, forward, backward and backward in place, with ignored labels", () => {
    for (const { rows, size } of shapes) {
      const count = rows * size;
      const labels = given(
        ints(rows, size).map((label, i) => (i % 3 === 1 ? -100 : label)),
        [rows],
        "int32",
      );
      same(
        `crossEntropy ${rows}x${size}`,
        { x: given(random(count, 1)), labels, losses: out([rows]), lse: out([rows]) },
        (backend, t) => backend.kernels.crossEntropy(t.x, t.labels, t.losses, t.lse, { rows, size, ignoreIndex: -100 }),
      );
      const saved = { labels, lse: given(random(rows, 2).map((v) => 3 + Math.abs(v))), g: given(random(rows, 3)) };
      same(
        `crossEntropyBackward ${rows}x${size}`,
        { x: given(random(count, 1)), ...saved, d: out([count]) },
        (backend, t) =>
          backend.kernels.crossEntropyBackward(t.x, t.labels, t.lse, t.g, t.d, { rows, size, ignoreIndex: -100 }),
      );
      same(`in place ${rows}x${size}`, { x: changed(given(random(count, 1))), ...saved }, (backend, t) =>
        backend.kernels.crossEntropyBackward(t.x, t.labels, t.lse, t.g, t.x, { rows, size, ignoreIndex: -100 }),
      );
    }
  });
});

describe("cross entropy of a linear map", () => {
  const run = (rows: number, size: number, width: number) => {
    const label = `${rows} rows, ${size} classes, ${width} wide`;
    const shape = { rows, size, width, ignoreIndex: -100 };
    const labels = given(
      ints(rows, size).map((label, i) => (i % 3 === 1 ? -100 : label)),
      [rows],
      "int32",
    );
    const x = given(spread(rows * width, 1), [rows, width]);
    const weight = given(noise(size * width, 2), [size, width]);
    same(label, { x, weight, labels, losses: out([rows]), lse: out([rows]) }, (backend, t) =>
      backend.kernels.linearCrossEntropy(t.x, t.weight, t.labels, t.losses, t.lse, shape),
    );
    const saved = { lse: given(noise(rows, 3).map((v) => 9 + v)), g: given(noise(rows, 4)) };
    const gradients = { dx: out([rows, width]), dw: out([size, width]) };
    for (const [dx, dw] of [
      [true, true],
      [true, false],
      [false, true],
    ]) {
      const wanted = { ...(dx && { dx: gradients.dx }), ...(dw && { dw: gradients.dw }) } as typeof gradients;
      same(`${label}, backward ${dx} ${dw}`, { x, weight, labels, ...saved, ...wanted }, (backend, t) =>
        backend.kernels.linearCrossEntropyBackward(t.x, t.weight, t.labels, t.lse, t.g, t.dx, t.dw, shape),
      );
    }
  };

  test("around the edges of tiles", () => {
    for (const size of [1, 4, 5, 16, 17, 65]) for (const rows of [1, 2, 3, 7]) run(rows, size, 9);
    run(5, 33, 1);
  });
  test("around the edges of blocks of classes", () => {
    for (const size of [4095, 4096, 4097, 8192, 9001]) run(3, size, 5);
  });
  test("around the edges of blocks of rows", () => {
    for (const rows of [511, 512, 513, 1025]) run(rows, 7, 4);
    run(513, 4099, 3);
  });
  test("of nothing: no rows, no features", () => {
    run(0, 5, 3);
    run(3, 5, 0);
  });
  test("masked, infinite and NaN rows", () => {
    const inf = Number.POSITIVE_INFINITY;
    for (const special of [-inf, inf, Number.NaN]) {
      // Columns of the first block, and all of the last row, times 1 and 0.
      const weight = Float32Array.from({ length: 2 * 4100 }, (_, i) => (i < 200 ? special : (i % 7) - 3));
      const x = given([1, 0, 0, 1, -2, 0.5], [3, 2]);
      same(
        `logits of ${special}`,
        {
          x,
          weight: given(weight, [4100, 2]),
          labels: given([4099, 3, -100], [3], "int32"),
          losses: out([3]),
          lse: out([3]),
        },
        (backend, t) =>
          backend.kernels.linearCrossEntropy(t.x, t.weight, t.labels, t.losses, t.lse, {
            rows: 3,
            size: 4100,
            width: 2,
            ignoreIndex: -100,
          }),
      );
    }
    const rows = [...new Array(4096).fill(-inf), 1, 2, ...new Array(4098).fill(-inf)];
    same(
      "a block that is masked, a row that is",
      { x: given(rows), labels: given([4097, 0], [2], "int32"), losses: out([2]), lse: out([2]) },
      (backend, t) =>
        backend.kernels.crossEntropy(t.x, t.labels, t.losses, t.lse, { rows: 2, size: 4098, ignoreIndex: -100 }),
    );
  });
});

describe("attention", () => {
  const contiguous = (heads: number, rows: number, dim: number): HeadLayout => ({
    offset: 0,
    batch: heads * rows * dim,
    head: rows * dim,
    row: dim,
  });
  interface Case {
    batch: number;
    heads: number;
    kvHeads: number;
    queries: number;
    keys: number;
    dim: number;
    causal: boolean;
  }
  const cases: Case[] = [
    { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 1, dim: 1, causal: true },
    { batch: 2, heads: 2, kvHeads: 2, queries: 7, keys: 7, dim: 8, causal: true },
    { batch: 1, heads: 2, kvHeads: 1, queries: 65, keys: 65, dim: 16, causal: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 130, keys: 130, dim: 32, causal: true },
    { batch: 1, heads: 3, kvHeads: 3, queries: 9, keys: 70, dim: 5, causal: false },
    { batch: 1, heads: 1, kvHeads: 1, queries: 1, keys: 129, dim: 12, causal: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 3, keys: 66, dim: 7, causal: true },
    { batch: 1, heads: 4, kvHeads: 2, queries: 48, keys: 64, dim: 20, causal: true },
    { batch: 1, heads: 1, kvHeads: 1, queries: 9, keys: 5, dim: 4, causal: true }, // the first queries have no keys
    { batch: 1, heads: 6, kvHeads: 2, queries: 41, keys: 100, dim: 13, causal: false },
  ];
  const check = (c: Case, layout: AttentionLayout, q: number, kv: number) => {
    const rows = c.batch * c.heads * c.queries;
    const operands = { q: given(noise(q, 1)), k: given(noise(kv, 2)), v: given(noise(kv, 3)) };
    same(
      `attention ${JSON.stringify(c)}`,
      { ...operands, o: changed(given(noise(q, 9))), lse: out([rows]) },
      (backend, t) => backend.kernels.attention(t.q, t.k, t.v, t.o, t.lse, layout),
    );
    const saved = { o: given(noise(q, 4)), lse: given(noise(rows, 5).map((v) => 4 + v)), g: given(noise(q, 6)) };
    const gradients = {
      dq: changed(given(noise(q, 9))),
      dk: changed(given(noise(kv, 9))),
      dv: changed(given(noise(kv, 9))),
    };
    same(`attentionBackward ${JSON.stringify(c)}`, { ...operands, ...saved, ...gradients }, (backend, t) =>
      backend.kernels.attentionBackward(t.q, t.k, t.v, t.o, t.lse, t.g, t.dq, t.dk, t.dv, layout),
    );
  };

  test("forward and backward, every kind of edge", () => {
    for (const c of cases) {
      const own = contiguous(c.heads, c.queries, c.dim);
      const other = contiguous(c.kvHeads, c.keys, c.dim);
      const layout = { ...c, scale: 0.31, q: own, k: other, v: other, out: own };
      check(c, layout, c.batch * own.batch, c.batch * other.batch);
    }
  });

  test("the layout of one projection for q, k and v", () => {
    const c = { batch: 2, heads: 2, kvHeads: 2, queries: 50, keys: 50, dim: 12, causal: true };
    const width = c.heads * c.dim;
    const at = (part: number): HeadLayout => ({
      offset: part * width,
      batch: 50 * 3 * width,
      head: c.dim,
      row: 3 * width,
    });
    const outer: HeadLayout = { offset: 0, batch: 50 * width, head: c.dim, row: width };
    const size = 2 * 50 * 3 * width;
    const layout = { ...c, scale: 0.2, q: at(0), k: at(1), v: at(2), out: outer };
    const qkv = given(noise(size, 1));
    const rows = 2 * 2 * 50;
    same("fused", { qkv, o: out([2 * 50 * width]), lse: out([rows]) }, (backend, t) =>
      backend.kernels.attention(t.qkv, t.qkv, t.qkv, t.o, t.lse, layout),
    );
    same(
      "fused backward",
      {
        qkv,
        o: given(noise(2 * 50 * width, 2)),
        lse: given(noise(rows, 3).map((v) => 4 + v)),
        g: given(noise(2 * 50 * width, 4)),
        d: out([size]),
      },
      (backend, t) => backend.kernels.attentionBackward(t.qkv, t.qkv, t.qkv, t.o, t.lse, t.g, t.d, t.d, t.d, layout),
    );
  });
});

describe("random numbers", () => {
  const call = new Generator(1337).next("test");
  test("uniforms and dropout", () => {
    for (const size of [...sizes, 1000]) {
      same(`uniform ${size}`, { x: out([size]) }, (backend, t) => backend.kernels.randomUniform(t.x, call));
      for (const threshold of [0, 2 ** 31 + 12345, 2 ** 32]) {
        same(`dropout ${size}`, { x: given(spread(size, 1)), y: out([size]) }, (backend, t) =>
          backend.kernels.dropout(t.x, t.y, call, threshold, 1.25),
        );
      }
    }
  });
});
