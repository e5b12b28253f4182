/** Filling and strided copies, for every element size. */

import { dtypes, encode } from "../../../core/dtype.js";
import { sizeOf } from "../../../core/shape.js";
import type { Operand, StridedCopy } from "../../kernels.js";
import type { FunctionBuilder, ModuleBuilder } from "../assembler.js";
import type { Engine } from "../engine.js";
import { transpose } from "../gemm/pack.js";
import type { I32 } from "../values.js";
import { range } from "../values.js";
import { addressOf } from "./operands.js";

export function fill(engine: Engine, output: Operand, value: number): void {
  const { memory } = engine;
  const bytes = dtypes[output.dtype].size;
  const start = addressOf(output) / bytes;
  const view =
    bytes === 1 ? memory.u8 : bytes === 2 ? memory.u16 : output.dtype === "float32" ? memory.f32 : memory.i32;
  view.fill(encode(output.dtype, value), start, start + output.size);
}

interface Dim {
  size: number;
  input: number;
  output: number;
}

/** Dims that both sides walk in one stride become one; dims of size 1 vanish. Outermost first. */
function mergeDims({ shape, inputStrides, outputStrides }: StridedCopy): Dim[] {
  const dims: Dim[] = [];
  shape.forEach((size, d) => {
    if (size === 1) return;
    const dim = { size, input: inputStrides[d], output: outputStrides[d] };
    const last = dims[dims.length - 1];
    if (last && last.input === dim.input * size && last.output === dim.output * size) {
      dims[dims.length - 1] = { size: last.size * size, input: dim.input, output: dim.output };
    } else dims.push(dim);
  });
  return dims;
}

const none: Dim = { size: 1, input: 0, output: 0 };

/** The kernels walk two dims inside the divided one; further dims are run one position at a time. */
export function stridedCopy(engine: Engine, input: Operand, output: Operand, copy: StridedCopy): void {
  const total = sizeOf(copy.shape);
  if (total === 0) return;
  const bytes = dtypes[input.dtype].size as 1 | 2 | 4;
  const dims = mergeDims(copy);
  while (dims.length < 3) dims.unshift(none);
  const [slow, middle, fast] = dims.slice(-3);
  const outer = dims.slice(0, -3);
  const family = engine.family(`copy ${bytes}`, (module) => defineCopy(module, bytes));
  const isTransposition = bytes === 4 && middle.input === 1 && fast.output === 1 && fast.input !== 1;
  const contiguous = fast.input === 1 && fast.output === 1;
  const kernel = contiguous ? family.runs : isTransposition ? family.transposed : family.single;
  const from = addressOf(input) + copy.inputOffset * bytes;
  const to = addressOf(output) + copy.outputOffset * bytes;
  const positions = sizeOf(outer.map(({ size }) => size));
  // The longer of the two outer dims is divided; the kernel sees it as `slow`.
  const swap = middle.size > slow.size && !isTransposition;
  const [divided, inside] = swap ? [middle, slow] : [slow, middle];
  // One matrix, or few, are divided by blocks of rows.
  const byRows = isTransposition && slow.size < middle.size / 4;
  for (let index = 0; index < positions; index++) {
    const [i, o] = offsetsAt(index, outer);
    const args = [0, divided.size, 0, inside.size, from + i * bytes, to + o * bytes];
    for (const dim of [divided, inside, fast]) args.push(dim.size, dim.input * bytes, dim.output * bytes);
    engine.pool.run(kernel, args, {
      rangeArgument: byRows ? 2 : 0,
      total: byRows ? inside.size : divided.size,
      granule: byRows ? 4 : 1,
      cost: (total / positions) * (kernel === family.single ? 1 : 0.3),
    });
  }
}

function offsetsAt(index: number, dims: readonly Dim[]): [number, number] {
  let input = 0;
  let output = 0;
  for (let d = dims.length - 1; d >= 0; d--) {
    input += (index % dims[d].size) * dims[d].input;
    output += (index % dims[d].size) * dims[d].output;
    index = Math.floor(index / dims[d].size);
  }
  return [input, output];
}

/** Strides in bytes; the divided range is the first dim, or the rows of matrices that are transposed. */
const parameters = {
  start: "i32",
  end: "i32",
  row0: "i32",
  row1: "i32",
  from: "i32",
  to: "i32",
  size0: "i32",
  in0: "i32",
  out0: "i32",
  size1: "i32",
  in1: "i32",
  out1: "i32",
  size2: "i32",
  in2: "i32",
  out2: "i32",
} as const;

type Locals = { readonly [K in keyof typeof parameters]: I32 };

function defineCopy(module: ModuleBuilder, bytes: 1 | 2 | 4): void {
  const copyOne = (f: FunctionBuilder, to: I32, from: I32) => {
    if (bytes === 4) f.storeI32(to, from.i32());
    else if (bytes === 2) f.storeU16(to, from.u16());
    else f.storeU8(to, from.u8());
  };
  module.export("runs", parameters, (f, p) => {
    const length = f.let(p.size2.mul(bytes));
    eachPair(f, p, (from, to) => copyBytes(f, to, from, length, bytes));
  });
  module.export("single", parameters, (f, p) =>
    eachPair(f, p, (from, to) =>
      f.repeat(p.size2, () => {
        copyOne(f, to, from);
        f.inc(from, p.in2);
        f.inc(to, p.out2);
      }),
    ),
  );
  if (bytes === 4) defineTransposed(module);
}

function eachPair(f: FunctionBuilder, p: Locals, body: (from: I32, to: I32) => void): void {
  f.for(p.start, p.end, 1, (i) => {
    const from = f.let(p.from.add(i.mul(p.in0)));
    const to = f.let(p.to.add(i.mul(p.out0)));
    f.repeat(p.size1, () => {
      body(f.let(from), f.let(to));
      f.inc(from, p.in1);
      f.inc(to, p.out1);
    });
  });
}

/** Copies `length` bytes, a multiple of `unit`, in vectors; advances nothing. */
export function copyBytes(f: FunctionBuilder, to: I32, from: I32, length: I32, unit: 1 | 2 | 4): void {
  const whole = f.let(length.and(-16));
  f.for(0, whole, 16, (x) => f.storeV128(to.add(x), from.add(x).v128()));
  f.for(whole, length, unit, (x) => {
    if (unit === 4) f.storeI32(to.add(x), from.add(x).i32());
    else if (unit === 2) f.storeU16(to.add(x), from.add(x).u16());
    else f.storeU8(to.add(x), from.add(x).u8());
  });
}

/** The middle dim is contiguous in the input, the last one in the output: 4 x 4 blocks are turned in registers. */
function defineTransposed(module: ModuleBuilder): void {
  module.export("transposed", parameters, (f, p) =>
    f.for(p.start, p.end, 1, (i) => {
      const fromMatrix = f.let(p.from.add(i.mul(p.in0)));
      const toMatrix = f.let(p.to.add(i.mul(p.out0)));
      const wholeRows = f.let(p.row1.and(-4));
      const wholeColumns = f.let(p.size2.and(-4));
      const single = (y: I32, x: I32) =>
        f.storeI32(toMatrix.add(y.mul(p.out1)).add(x.shl(2)), fromMatrix.add(y.shl(2)).add(x.mul(p.in2)).i32());
      f.for(p.row0, wholeRows, 4, (y) => {
        const from = f.let(fromMatrix.add(y.shl(2)));
        const to = f.let(toMatrix.add(y.mul(p.out1)));
        f.for(0, wholeColumns, 4, () => {
          const columns = transpose(
            f,
            range(4).map((k) => from.add(p.in2.mul(k)).v128()),
          );
          for (const [k, lanes] of columns.entries()) f.storeV128(to.add(p.out1.mul(k)), lanes);
          f.inc(from, p.in2.shl(2));
          f.inc(to, 16);
        });
        f.for(y, y.add(4), 1, (row) => f.for(wholeColumns, p.size2, 1, (x) => single(row, x)));
      });
      f.for(wholeRows, p.row1, 1, (y) => f.for(0, p.size2, 1, (x) => single(y, x)));
    }),
  );
}
