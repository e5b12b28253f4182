/** Filling and copying, for every dtype. */

import { dtypes, encode } from "../../../core/dtype.js";
import { sizeOf } from "../../../core/shape.js";
import type { Operand, StridedCopy } from "../../kernels.js";
import { pieceOf } from "../bindings.js";
import type { Gpu } from "../gpu.js";
import { entry, groupsOf, type KernelSource, type ParamType } from "../shader.js";

/** The bits of an element, repeated to fill 32. */
function pattern({ dtype }: Operand, value: number): number {
  const stored = new dtypes[dtype].array(1);
  stored[0] = encode(dtype, value);
  const bytes = new Uint8Array(stored.buffer);
  const word = Uint8Array.from({ length: 4 }, (_, i) => bytes[i % bytes.length]);
  return new Uint32Array(word.buffer)[0];
}

export function fill(gpu: Gpu, output: Operand, value: number): void {
  if (output.size === 0) return;
  const bytes = output.size * dtypes[output.dtype].size;
  const word = pattern(output, value);
  const piece = pieceOf(output);
  if (!piece.slot && bytes <= 4 && !gpu.inLivePart) {
    // A single number stays here until a kernel needs it in memory.
    gpu.write(piece, new Uint8Array(new Uint32Array([word]).buffer).slice(0, bytes));
    return;
  }
  const kernel = gpu.kernel("fill", () => ({
    name: "fill",
    buffers: [{ name: "out", type: "vec4u", writes: true }],
    params: { quads: "u32", word: "u32" },
    code: `${entry(gpu.threads)}
  if (thread < p.quads) { out[thread] = vec4u(p.word); }
}`,
  }));
  const quads = Math.ceil(bytes / 16);
  gpu.run(kernel, [output], [quads, word], groupsOf(quads, gpu.threads));
}

interface Dim {
  size: number;
  input: number;
  output: number;
}

/** The dims of a copy, innermost last, with neighbours merged where both sides step through them as through one. */
function mergedDims({ shape, inputStrides, outputStrides }: StridedCopy): Dim[] {
  const dims: Dim[] = [];
  for (let d = 0; d < shape.length; d++) {
    if (shape[d] === 1) continue;
    const last = dims.at(-1);
    const next = { size: shape[d], input: inputStrides[d], output: outputStrides[d] };
    if (last && last.input === next.input * next.size && last.output === next.output * next.size) {
      Object.assign(last, { ...next, size: last.size * next.size });
    } else {
      dims.push(next);
    }
  }
  return dims;
}

/** The copy in words of `per` elements, if every row, stride and offset is a multiple of it. */
function inWords(dims: Dim[], offsets: readonly number[], per: number): Dim[] | undefined {
  if (per === 1) return dims;
  const last = dims.at(-1);
  if (last?.input !== 1 || last.output !== 1) return undefined;
  const outer = dims.slice(0, -1);
  const numbers = [last.size, ...offsets, ...outer.flatMap(({ input, output }) => [input, output])];
  if (numbers.some((n) => n % per !== 0)) return undefined;
  return [
    ...outer.map((dim) => ({ size: dim.size, input: dim.input / per, output: dim.output / per })),
    { size: last.size / per, input: 1, output: 1 },
  ];
}

/** output[outputOffset + index . outputStrides] = input[inputOffset + index . inputStrides] for each index of `shape`. */
export function stridedCopy(gpu: Gpu, input: Operand, output: Operand, copy: StridedCopy): void {
  const size = sizeOf(copy.shape);
  if (size === 0) return;
  const dims = mergedDims(copy);
  if (dims.length === 0) dims.push({ size: 1, input: 1, output: 1 });
  const offsets = [copy.inputOffset, copy.outputOffset];
  const perWord = 4 / dtypes[input.dtype].size;
  for (const [type, per] of [
    ["vec4u", perWord * 4],
    ["u32", perWord],
  ] as const) {
    const words = inWords(dims, offsets, per);
    if (!words) continue;
    const [from, to] = offsets.map((offset) => offset / per);
    launch(gpu, type, input, output, words, from, to, size / per);
    return;
  }
  launch(gpu, perWord === 4 ? "byte" : "half", input, output, dims, copy.inputOffset, copy.outputOffset, size);
}

type Cell = "vec4u" | "u32" | "half" | "byte";

function launch(
  gpu: Gpu,
  cell: Cell,
  input: Operand,
  output: Operand,
  dims: readonly Dim[],
  from: number,
  to: number,
  count: number,
): void {
  const kernel = gpu.kernel(`stridedCopy ${cell} ${dims.length}`, () => source(cell, dims.length, gpu.threads));
  const numbers = [count, from, to, ...dims.flatMap((dim) => [dim.size, dim.input, dim.output])];
  gpu.run(kernel, [input, output], numbers, groupsOf(count, gpu.threads));
}

/** Elements smaller than a word share it with neighbours that other threads write: each changes its own bits alone. */
function source(cell: Cell, rank: number, threads: number): KernelSource {
  const params: Record<string, ParamType> = { count: "u32", from_start: "i32", to_start: "i32" };
  const walk: string[] = [];
  for (let d = 0; d < rank; d++)
    Object.assign(params, { [`size${d}`]: "u32", [`from_step${d}`]: "i32", [`to_step${d}`]: "i32" });
  for (let d = rank - 1; d >= 0; d--) {
    const position = d === 0 ? "rest" : `rest % p.size${d}`;
    walk.push(`  let i${d} = i32(${position});`);
    if (d > 0) walk.push(`  rest = rest / p.size${d};`);
    walk.push(`  from_at += i${d} * p.from_step${d};`, `  to_at += i${d} * p.to_step${d};`);
  }
  const small = cell === "half" || cell === "byte";
  const shift = cell === "half" ? 1 : 2;
  const bits = cell === "half" ? 16 : 8;
  const mask = cell === "half" ? "0xffffu" : "0xffu";
  const move = small
    ? `  let source_at = u32(from_at);
  let target_at = u32(to_at);
  let value = (from_words[source_at >> ${shift}u] >> ((source_at & ${2 ** shift - 1}u) * ${bits}u)) & ${mask};
  let place = (target_at & ${2 ** shift - 1}u) * ${bits}u;
  atomicAnd(&to_words[target_at >> ${shift}u], ~(${mask} << place));
  atomicOr(&to_words[target_at >> ${shift}u], value << place);`
    : "  to_words[to_at] = from_words[from_at];";
  return {
    name: "stridedCopy",
    buffers: [
      { name: "from_words", type: small ? "u32" : cell },
      { name: "to_words", type: small ? "atomic<u32>" : cell, writes: true },
    ],
    params,
    code: `${entry(threads)}
  if (thread >= p.count) { return; }
  var rest = thread;
  var from_at = p.from_start;
  var to_at = p.to_start;
${walk.join("\n")}
${move}
}`,
  };
}
