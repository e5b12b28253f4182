/** Einstein summation: products of tensors whose dims have names, summed over the names that the result leaves out. */

import { misfit, ShapeError, show, showShape } from "../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTensors, named } from "./define.js";
import { mul } from "./elementwise.js";
import { matmul } from "./matmul.js";
import { permute, reshape } from "./movement.js";
import { sum } from "./reduce.js";
import { slice } from "./region.js";

/** A tensor and the names of its dims, each once. */
interface Named {
  readonly x: Tensor;
  readonly dims: readonly string[];
}

/**
 * As in PyTorch: `einsum("bqd,bkd->bqk", q, k)`. Letters name dims; `...` stands for leading ones; a letter twice in a term
 * takes the diagonal. Without `->` the result has the letters that come once, in the order of the alphabet. Operands are
 * multiplied from left to right. All dims of one name have one size.
 */
export function einsum(equation: string, ...operands: Tensor[]): Tensor {
  checkTensors("einsum", { ...operands });
  const { terms, result } = parse(equation, operands);
  return named("einsum", () => {
    const factors = operands.map((x, i) => diagonals(x, terms[i]));
    let product = factors[0];
    for (const [i, factor] of factors.entries()) {
      const wanted = new Set([...result, ...factors.slice(i + 1).flatMap(({ dims }) => dims)]);
      product = i === 0 ? summed(product, new Set([...wanted])) : contracted(product, factor, wanted);
    }
    return ordered(summed(product, new Set(result)), result);
  });
}

/** Names of the dims of each operand and of the result. Those that `...` stands for are called by numbers, from the last. */
function parse(equation: string, operands: readonly Tensor[]): { terms: string[][]; result: string[] } {
  const refuse = (rule: string, got: unknown) => misfit("einsum", `${rule}, got ${got}.`);
  if (typeof equation !== "string")
    throw refuse('needs an equation such as "ij,jk->ik" and then the tensors', show(equation));
  const parts = equation.replaceAll(" ", "").split("->");
  const words = parts[0].split(",");
  if (parts.length > 2 || ![...words, parts[1] ?? ""].every((word) => /^[a-zA-Z]*(\.\.\.)?[a-zA-Z]*$/.test(word)))
    throw refuse('needs letters, ",", "..." and at most one "->"', show(equation));
  if (words.length !== operands.length)
    throw refuse(`needs a tensor for each of the ${words.length} terms of "${equation}"`, operands.length);
  let most = 0;
  const terms = words.map((word, i) => {
    const { shape } = operands[i];
    const rest = shape.length - word.replace("...", "").length;
    if (word.includes("...") ? rest < 0 : rest !== 0)
      throw refuse(`needs ${word.replace("...", "").length} dims for "${word}"`, showShape(shape));
    most = Math.max(most, rest);
    return namesOf(word, rest);
  });
  const sizes = new Map<string, number>();
  for (const [i, term] of terms.entries()) {
    for (const [d, name] of term.entries()) {
      const size = operands[i].shape[d];
      const known = sizes.get(name) ?? size;
      if (known !== size) {
        throw new ShapeError(
          `einsum: needs one size for ${name.length === 1 ? `"${name}"` : "a dim"} of "${equation}", got ${known} and ${size}.`,
          { where: "einsum", shapes: operands.map(({ shape }) => shape) },
        );
      }
      sizes.set(name, size);
    }
  }
  const all = terms.flat();
  const once = [...new Set(all)].filter(
    (name) => name.length === 1 && all.filter((each) => each === name).length === 1,
  );
  const result = namesOf(parts[1] ?? `...${once.sort().join("")}`, most);
  for (const name of result) {
    if (sizes.has(name) && result.indexOf(name) === result.lastIndexOf(name)) continue;
    throw refuse(`needs each letter of the result once, and in a term`, `"${name}" in "${equation}"`);
  }
  return { terms, result };
}

const namesOf = (word: string, rest: number): string[] => {
  const [before, after] = word.split("...");
  const between = after === undefined ? [] : Array.from({ length: rest }, (_, i) => `dim -${rest - i}`);
  return [...before, ...between, ...(after ?? "")];
};

/** A name that comes twice is kept once, of the elements where both positions are the same. */
function diagonals(x: Tensor, term: readonly string[]): Named {
  const first = term.findIndex((name, i) => term.indexOf(name) < i);
  if (first < 0) return { x, dims: term };
  const other = term.indexOf(term[first]);
  const rest = term.map((_, i) => i).filter((i) => i !== first && i !== other);
  const n = x.shape[first];
  const moved = permute(x, [...rest, other, first]);
  const flat = reshape(moved, [...moved.shape.slice(0, -2), n * n]);
  return diagonals(slice(flat, ...rest.map(() => null), [null, null, n + 1]), [
    ...rest.map((i) => term[i]),
    term[first],
  ]);
}

/** Without the dims that nobody wants. */
function summed({ x, dims }: Named, wanted: ReadonlySet<string>): Named {
  const gone = dims.flatMap((name, i) => (wanted.has(name) ? [] : [i]));
  return gone.length === 0 ? { x, dims } : { x: sum(x, { dim: gone }), dims: dims.filter((name) => wanted.has(name)) };
}

/** The product of two, summed over the names that both have and nobody wants any more. */
function contracted(left: Named, right: Named, wanted: ReadonlySet<string>): Named {
  const a = summed(left, new Set([...wanted, ...right.dims]));
  const b = summed(right, new Set([...wanted, ...left.dims]));
  const shared = a.dims.filter((name) => b.dims.includes(name));
  const batch = shared.filter((name) => wanted.has(name));
  const over = shared.filter((name) => !wanted.has(name));
  const [rows, columns] = [a, b].map(({ dims }) => dims.filter((name) => !shared.includes(name)));
  const dims = [...batch, ...rows, ...columns];
  const sizes = new Map([...sizesOf(a), ...sizesOf(b)]);
  const shapeOf = (names: readonly string[]) => names.map((name) => sizes.get(name)!);
  const count = (names: readonly string[]) => shapeOf(names).reduce((product, n) => product * n, 1);
  const matrices = ({ x, dims: own }: Named, order: readonly string[], shape: readonly number[]) =>
    reshape(ordered({ x, dims: own }, order), shape);
  const [m, k, n] = [rows, over, columns].map(count);
  const lead = count(batch);
  const p = matrices(a, [...batch, ...rows, ...over], [lead, m, k]);
  const q = matrices(b, [...batch, ...over, ...columns], [lead, k, n]);
  // Nothing to sum: a product of elements, which integers have too.
  return { x: reshape(over.length === 0 ? mul(p, q) : matmul(p, q), shapeOf(dims)), dims };
}

const sizesOf = ({ x, dims }: Named): [string, number][] => dims.map((name, i) => [name, x.shape[i]]);

const ordered = ({ x, dims }: Named, order: readonly string[]): Tensor =>
  order.every((name, i) => name === dims[i])
    ? x
    : permute(
        x,
        order.map((name) => dims.indexOf(name)),
      );
