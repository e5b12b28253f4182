/** Reductions, positions of extremes, running totals: the order of reference/reduce.ts. */

import { type Operand, type ReduceKind, type Split, SUM_BLOCK } from "../../kernels.js";
import type { FunctionBuilder, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { type I32, range, type V128 } from "../values.js";
import { f32x4, i32x4, v128 } from "../vectors.js";
import { sumColumns } from "./norm.js";
import { addressOf } from "./operands.js";
import { rowAt, rowScratch, sumRow, sumTree, termsOf } from "./rows.js";
import { runRows, withMemory } from "./run.js";

type NumberType = "float32" | "int32";

export function reduce(engine: Engine, kind: ReduceKind, input: Operand, output: Operand, split: Split): void {
  if (kind === "sum" && input.dtype === "float32") sum(engine, input, output, split);
  else fold(engine, kind, input, output, split);
}

/** Below this many blocks a single long sum is not worth dividing. */
const DIVIDED_BLOCKS = 4;
/** The bytes of such a row are no signed integer. */
const LONGEST_ROW = 2 ** 29;

function sum(engine: Engine, input: Operand, output: Operand, { outer, size, inner }: Split): void {
  if (inner > 1) {
    sumColumns(engine, input, output, outer, size, inner);
    return;
  }
  const { sumRows, sumBlocks, foldBlocks } = engine.family("sum", defineSum);
  const blocks = Math.ceil(size / SUM_BLOCK);
  if (blocks < DIVIDED_BLOCKS || (outer >= engine.pool.threads && size < LONGEST_ROW)) {
    const args = [0, 0, addressOf(input), addressOf(output), size, 0];
    runRows(engine, sumRows, { rows: outer, args, scratchBytes: rowScratch(size), cost: outer * size * 0.15 });
    return;
  }
  withMemory(engine, 4 * blocks, (results) => {
    for (let row = 0; row < outer; row++) {
      const args = [0, 0, addressOf(input) + row * size * 4, results, size, 0];
      runRows(engine, sumBlocks, { rows: blocks, args, scratchBytes: rowScratch(SUM_BLOCK), cost: size * 0.15 });
      engine.pool.call(foldBlocks, [results, blocks, addressOf(output) + row * 4]);
    }
  });
}

function defineSum(module: ModuleBuilder): void {
  const parameters = { start: "i32", end: "i32", x: "i32", out: "i32", size: "i32", scratch: "i32" } as const;
  module.export("sumRows", parameters, (f, { start, end, x, out, size, scratch }) => {
    const bytes = f.let(size.shl(2));
    f.for(start, end, 1, (row) => {
      const at = rowAt(f, x, row, bytes);
      const [total] = sumRow(
        f,
        [at],
        [],
        bytes,
        scratch,
        1,
        termsOf(({ load }) => [load(at)]),
      );
      f.storeF32(out.add(row.shl(2)), total);
    });
  });
  // One row, divided by its blocks: the sum of a block alone is that of a row of its length.
  module.export("sumBlocks", parameters, (f, { start, end, x, out, size, scratch }) => {
    f.for(start, end, 1, (block) => {
      const first = f.let(block.mul(SUM_BLOCK));
      const bytes = f.let(size.sub(first).min(SUM_BLOCK).shl(2));
      const at = f.let(x.add(first.shl(2)));
      const [total] = sumRow(
        f,
        [at],
        [],
        bytes,
        scratch,
        1,
        termsOf(({ load }) => [load(at)]),
      );
      f.storeF32(out.add(block.shl(2)), total);
    });
  });
  module.export("foldBlocks", { values: "i32", count: "i32", out: "i32" }, (f, { values, count, out }) => {
    f.storeF32(out, sumTree(f, values, count));
  });
}

/** One element, or four neighbouring lines, of a type. */
const vectorFold: { readonly [K in NumberType]: { readonly [kind in ReduceKind]: (a: V128, b: V128) => V128 } } = {
  float32: { sum: f32x4.add, prod: f32x4.mul, max: f32x4.max, min: f32x4.min },
  int32: { sum: i32x4.add, prod: i32x4.mul, max: i32x4.maxS, min: i32x4.minS },
};
const empty: { readonly [kind in ReduceKind]: number } = {
  sum: 0,
  prod: 1,
  max: Number.NEGATIVE_INFINITY,
  min: Number.POSITIVE_INFINITY,
};

const lineParameters = {
  start: "i32",
  end: "i32",
  x: "i32",
  out: "i32",
  outer: "i32",
  size: "i32",
  inner: "i32",
} as const;

/**
 * Everything but the float32 sum: in index order from the first element. With `inner` of 1 the range is `outer` (one
 * lane per line), else the columns, four lines at a time.
 */
function fold(engine: Engine, kind: ReduceKind, input: Operand, output: Operand, { outer, size, inner }: Split): void {
  if (size === 0) {
    const start = addressOf(output) >>> 2;
    const view = input.dtype === "float32" ? engine.memory.f32 : engine.memory.i32;
    view.fill(empty[kind], start, start + outer * inner);
    return;
  }
  const dtype = input.dtype as NumberType;
  const family = engine.family(`fold ${kind} ${dtype}`, (module) =>
    // Only a float product depends on its order.
    defineFold(module, vectorFold[dtype][kind], kind !== "prod" || dtype === "int32"),
  );
  engine.pool.run(
    inner === 1 ? family.rows : family.columns,
    [0, 0, addressOf(input), addressOf(output), outer, size, inner],
    {
      rangeArgument: 0,
      total: inner === 1 ? outer : inner,
      granule: inner === 1 ? 1 : 16,
      cost: outer * size * inner,
    },
  );
}

function defineFold(module: ModuleBuilder, combine: (a: V128, b: V128) => V128, anyOrder: boolean): void {
  module.export("rows", lineParameters, (f, { start, end, x, out, size }) => {
    f.for(start, end, 1, (row) => {
      const at = f.let(x.add(row.mul(size).shl(2)));
      const left = f.let(size);
      const total = f.let(at.splat());
      const fours = () => {
        f.set(total, at.v128());
        f.doWhile(left.ge(8), () => {
          f.inc(at, 16);
          f.inc(left, -4);
          f.set(total, combine(total, at.v128()));
        });
        f.set(total, combine(total, v128.shuffle(total, total, 2, 3, 0, 1)));
        f.set(total, combine(total, v128.shuffle(total, total, 1, 0, 3, 2)));
        f.inc(at, 12);
        f.inc(left, -3);
      };
      if (anyOrder) f.if(left.ge(8), fours);
      f.repeat(left.sub(1), () => {
        f.inc(at, 4);
        f.set(total, combine(total, at.splat()));
      });
      f.storeLane(4, out.add(row.shl(2)), total, 0);
    });
  });
  module.export("columns", lineParameters, (f, { start, end, x, out, outer, size, inner }) => {
    const stride = f.let(inner.shl(2));
    f.for(0, outer, 1, (o) => {
      f.for(start, end, 4, (column) => {
        const at = f.let(x.add(o.mul(size).mul(inner).add(column).shl(2)));
        const total = f.let(at.v128());
        f.repeat(size.sub(1), () => {
          f.inc(at, stride);
          f.set(total, combine(total, at.v128()));
        });
        storeUpTo4(f, f.let(out.add(o.mul(inner).add(column).shl(2))), total, f.let(end.sub(column)));
      });
    });
  });
}

/** Stores four lanes, or as many as `count` says. */
export function storeUpTo4(f: FunctionBuilder, to: I32, lanes: V128, count: I32): void {
  f.if(
    count.ge(4),
    () => f.storeV128(to, lanes),
    () => {
      for (const lane of range(3)) f.if(count.gt(lane), () => f.storeLane(4, to, lanes, lane, 4 * lane));
    },
  );
}

export function argReduce(
  engine: Engine,
  kind: "argmax" | "argmin",
  input: Operand,
  output: Operand,
  { outer, size, inner }: Split,
): void {
  const family = engine.family("arg reduce", defineArgReduce);
  engine.pool.run(family[`${kind} ${input.dtype}`], [0, 0, addressOf(input), addressOf(output), outer, size, inner], {
    rangeArgument: 0,
    total: outer * inner,
    cost: outer * size * inner,
  });
}

/** The range is the lines: line = o * inner + i. */
function defineArgReduce(module: ModuleBuilder): void {
  for (const kind of ["argmax", "argmin"] as const) {
    module.export(`${kind} float32`, lineParameters, (f, p) =>
      eachLine(f, p, (at, stride) => {
        const held = f.let(at.f32());
        const best = f.i32();
        f.for(1, p.size, 1, (s) => {
          f.inc(at, stride);
          const x = f.let(at.f32());
          const better = kind === "argmax" ? x.gt(held) : x.lt(held);
          f.if(better.or(x.ne(x).and(held.eq(held))), () => {
            f.set(held, x);
            f.set(best, s);
          });
        });
        return best;
      }),
    );
    module.export(`${kind} int32`, lineParameters, (f, p) =>
      eachLine(f, p, (at, stride) => {
        const held = f.let(at.i32());
        const best = f.i32();
        f.for(1, p.size, 1, (s) => {
          f.inc(at, stride);
          const x = f.let(at.i32());
          f.if(kind === "argmax" ? x.gt(held) : x.lt(held), () => {
            f.set(held, x);
            f.set(best, s);
          });
        });
        return best;
      }),
    );
  }
}

type Lines = { readonly [K in keyof typeof lineParameters]: I32 };

function eachLine(f: FunctionBuilder, p: Lines, body: (at: I32, stride: I32) => I32): void {
  const stride = f.let(p.inner.shl(2));
  f.for(p.start, p.end, 1, (line) => {
    const o = f.let(line.divU(p.inner));
    const at = f.let(p.x.add(o.mul(p.size).mul(p.inner).add(line.remU(p.inner)).shl(2)));
    f.storeI32(p.out.add(line.shl(2)), body(at, stride));
  });
}

export function cumsum(engine: Engine, input: Operand, output: Operand, { outer, size, inner }: Split): void {
  const family = engine.family("cumsum", defineCumsum);
  engine.pool.run(family[input.dtype], [0, 0, addressOf(input), addressOf(output), outer, size, inner], {
    rangeArgument: 0,
    total: outer * inner,
    cost: outer * size * inner,
  });
}

function defineCumsum(module: ModuleBuilder): void {
  module.export("float32", lineParameters, (f, p) =>
    eachRunning(f, p, (at, to, stride) => {
      const total = f.f32();
      f.set(total, at.f32());
      f.storeF32(to, total);
      f.repeat(p.size.sub(1), () => {
        f.inc(at, stride);
        f.inc(to, stride);
        f.set(total, total.add(at.f32()));
        f.storeF32(to, total);
      });
    }),
  );
  module.export("int32", lineParameters, (f, p) =>
    eachRunning(f, p, (at, to, stride) => {
      const total = f.let(at.i32());
      f.storeI32(to, total);
      f.repeat(p.size.sub(1), () => {
        f.inc(at, stride);
        f.inc(to, stride);
        f.inc(total, at.i32());
        f.storeI32(to, total);
      });
    }),
  );
}

function eachRunning(f: FunctionBuilder, p: Lines, body: (at: I32, to: I32, stride: I32) => void): void {
  const stride = f.let(p.inner.shl(2));
  f.if(p.size.eqz(), () => f.return());
  f.for(p.start, p.end, 1, (line) => {
    const offset = f.let(line.divU(p.inner).mul(p.size).mul(p.inner).add(line.remU(p.inner)).shl(2));
    body(f.let(p.x.add(offset)), f.let(p.out.add(offset)), stride);
  });
}
