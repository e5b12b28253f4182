/** Reading and adding at indices. All indices are checked before anything is written. */

import { dtypes } from "../../../core/dtype.js";
import { checkIndices } from "../../indices.js";
import type { Operand, Split } from "../../kernels.js";
import type { FunctionBuilder, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import type { I32 } from "../values.js";
import { f32x4, i32x4 } from "../vectors.js";
import { copyBytes } from "./copy.js";
import { addressOf } from "./operands.js";

type Indexed = Split & { readonly count: number };

function check(engine: Engine, op: string, index: Operand, size: number): void {
  const start = addressOf(index) >>> 2;
  checkIndices(op, engine.memory.i32.subarray(start, start + index.size), size);
}

const parameters = {
  start: "i32",
  end: "i32",
  index: "i32",
  /** The side with `count` in the middle. */
  counted: "i32",
  /** The side with `size` in the middle. */
  sized: "i32",
  outer: "i32",
  size: "i32",
  inner: "i32",
  count: "i32",
} as const;

type Locals = { readonly [K in keyof typeof parameters]: I32 };

const argumentsOf = (index: Operand, counted: Operand, sized: Operand, split: Indexed): number[] => [
  0,
  0,
  addressOf(index),
  addressOf(counted),
  addressOf(sized),
  split.outer,
  split.size,
  split.inner,
  split.count,
];

export function indexSelect(engine: Engine, input: Operand, index: Operand, output: Operand, split: Indexed): void {
  check(engine, "indexSelect", index, split.size);
  const bytes = dtypes[input.dtype].size as 1 | 2 | 4;
  const { select } = engine.family(`index select ${bytes}`, (module) => {
    // The range is the pairs (o, j).
    module.export("select", parameters, (f, p) => {
      const row = f.let(p.inner.mul(bytes));
      f.for(p.start, p.end, 1, (pair) => {
        const o = f.let(pair.divU(p.count));
        const chosen = p.index.add(pair.remU(p.count).shl(2)).i32();
        const from = f.let(p.sized.add(o.mul(p.size).add(chosen).mul(row)));
        copyBytes(f, f.let(p.counted.add(pair.mul(row))), from, row, bytes);
      });
    });
  });
  engine.pool.run(select, argumentsOf(index, output, input, split), {
    rangeArgument: 0,
    total: split.outer * split.count,
    cost: output.size * 0.3,
  });
}

export function gather(engine: Engine, input: Operand, index: Operand, output: Operand, split: Indexed): void {
  check(engine, "gather", index, split.size);
  const bytes = dtypes[input.dtype].size as 1 | 2 | 4;
  const { gather: kernel } = engine.family(`gather ${bytes}`, (module) => {
    module.export("gather", parameters, (f, p) =>
      eachElement(f, p, (at, other) => {
        const to = f.let(p.counted.add(at.mul(bytes)));
        const from = p.sized.add(other.mul(bytes));
        if (bytes === 4) f.storeI32(to, from.i32());
        else if (bytes === 2) f.storeU16(to, from.u16());
        else f.storeU8(to, from.u8());
      }),
    );
  });
  engine.pool.run(kernel, argumentsOf(index, output, input, split), {
    rangeArgument: 0,
    total: split.outer,
    cost: output.size,
  });
}

export function scatterAdd(engine: Engine, index: Operand, source: Operand, output: Operand, split: Indexed): void {
  check(engine, "scatterAdd", index, split.size);
  const family = engine.family("scatter add", (module) => {
    module.export("float32", parameters, (f, p) =>
      eachElement(f, p, (at, other) => {
        const to = f.let(p.sized.add(other.shl(2)));
        f.storeF32(to, to.f32().add(p.counted.add(at.shl(2)).f32()));
      }),
    );
    module.export("int32", parameters, (f, p) =>
      eachElement(f, p, (at, other) => {
        const to = f.let(p.sized.add(other.shl(2)));
        f.storeI32(to, to.i32().add(p.counted.add(at.shl(2)).i32()));
      }),
    );
  });
  engine.pool.run(family[output.dtype], argumentsOf(index, source, output, split), {
    rangeArgument: 0,
    total: split.outer,
    cost: source.size,
  });
}

/** Visits o (the divided range), j, i in order with the element's position on both sides. */
function eachElement(f: FunctionBuilder, p: Locals, visit: (at: I32, other: I32) => void): void {
  f.for(p.start, p.end, 1, (o) => {
    const at = f.let(o.mul(p.count).mul(p.inner));
    f.for(0, p.count, 1, () =>
      f.for(0, p.inner, 1, (i) => {
        const chosen = p.index.add(at.shl(2)).i32();
        visit(at, f.let(o.mul(p.size).add(chosen).mul(p.inner).add(i)));
        f.inc(at, 1);
      }),
    );
  });
}

/** The range is the columns: each thread adds all rows to its own part of them, j ascending. */
export function indexAdd(engine: Engine, index: Operand, source: Operand, output: Operand, split: Indexed): void {
  check(engine, "indexAdd", index, split.size);
  const family = engine.family("index add", defineIndexAdd);
  engine.pool.run(family[output.dtype], argumentsOf(index, source, output, split), {
    rangeArgument: 0,
    total: split.inner,
    granule: 16,
    cost: source.size * 0.4,
  });
}

function defineIndexAdd(module: ModuleBuilder): void {
  for (const [name, add] of [
    ["float32", f32x4.add],
    ["int32", i32x4.add],
  ] as const) {
    module.export(name, parameters, (f, p) => {
      const width = f.let(p.end.sub(p.start).shl(2));
      const whole = f.let(width.and(-16));
      f.for(0, p.outer, 1, (o) =>
        f.for(0, p.count, 1, (j) => {
          const chosen = f.let(p.index.add(j.shl(2)).i32());
          const from = f.let(p.counted.add(o.mul(p.count).add(j).mul(p.inner).add(p.start).shl(2)));
          const to = f.let(p.sized.add(o.mul(p.size).add(chosen).mul(p.inner).add(p.start).shl(2)));
          f.for(0, whole, 16, (x) => f.storeV128(to.add(x), add(to.add(x).v128(), from.add(x).v128())));
          f.for(whole, width, 4, (x) => {
            if (name === "float32") f.storeF32(to.add(x), to.add(x).f32().add(from.add(x).f32()));
            else f.storeI32(to.add(x), to.add(x).i32().add(from.add(x).i32()));
          });
        }),
      );
    });
  }
}
