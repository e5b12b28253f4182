/** Einstein sums beside the definition: a loop over all values of all letters, in float64. */

import * as t from "tenon";
import { beforeAll, expect, test } from "vitest";
import { Generator, randomInteger, randomNormal } from "../../src/core/random.js";

beforeAll(async () => void (await t.init({ device: "cpu", threads: 1 })));

const sizes: Record<string, number> = { a: 2, b: 3, c: 4, d: 1, e: 2 };

function defined(terms: string[], result: string, values: readonly ArrayLike<number>[]): number[] {
  const letters = [...new Set(terms.join("") + result)];
  const place = (word: string, at: Record<string, number>) =>
    [...word].reduce((index, letter) => index * sizes[letter] + at[letter], 0);
  const out = new Array<number>([...result].reduce((n, letter) => n * sizes[letter], 1)).fill(0);
  const walk = (depth: number, at: Record<string, number>): void => {
    if (depth === letters.length) {
      out[place(result, at)] += terms.reduce((product, word, i) => product * values[i][place(word, at)], 1);
      return;
    }
    for (let v = 0; v < sizes[letters[depth]]; v++) walk(depth + 1, { ...at, [letters[depth]]: v });
  };
  walk(0, {});
  return out;
}

const shapeOf = (word: string) => [...word].map((letter) => sizes[letter]);

test("random equations of one to three terms, diagonals among them", async () => {
  const generator = new Generator(5);
  for (let round = 0; round < 150; round++) {
    let drawn = 0;
    const draw = (bound: number) => randomInteger(generator.at("equations", round), drawn++, bound);
    const terms = Array.from({ length: 1 + draw(3) }, () =>
      Array.from({ length: draw(4) }, () => "abcde"[draw(5)]).join(""),
    );
    const known = [...new Set(terms.join(""))].sort(() => draw(3) - 1);
    const result = known.slice(0, draw(known.length + 1)).join("");
    const values = terms.map((word, i) => {
      const size = shapeOf(word).reduce((a, b) => a * b, 1);
      return randomNormal(generator.at(`values ${i}`, round), size);
    });
    const equation = `${terms.join(",")}->${result}`;
    const tensors = values.map((data, i) => t.fromData(data, shapeOf(terms[i]), { requiresGrad: true }));
    const out = t.tidy(() => t.einsum(equation, ...tensors));
    expect(out.shape, equation).toEqual(shapeOf(result));
    const want = defined(terms, result, values);
    for (const [i, value] of [...(await out.data())].entries()) expect(value, equation).toBeCloseTo(want[i], 4);
    // The sum is linear in each operand: the gradient times the operand is the sum of the results.
    t.tidy(() => out.sum().backward());
    const total = want.reduce((a, b) => a + b, 0);
    for (const [i, x] of tensors.entries()) {
      const grad = await x.grad!.data();
      expect(
        values[i].reduce((sum, value, k) => sum + value * grad[k], 0),
        equation,
      ).toBeCloseTo(total, 3);
      x.grad!.dispose();
    }
    for (const each of [out, ...tensors]) each.dispose();
  }
});

test("without an arrow, with dots, of integers", async () => {
  const [a, b] = [
    t.tensor([
      [0, 1, 2],
      [3, 4, 5],
    ]),
    t.tensor([0, 1, 2]),
  ];
  const { x, y, z, w, i } = t.tidy(() => ({
    x: t.einsum("ji, i", a, b), // the letters that come once: j
    y: t.einsum("...i->...", a),
    z: t.einsum("b...,b...->...b", a, a),
    w: t.einsum("ii", t.ones([3, 3])),
    i: t.einsum("i,j->ij", b.to({ dtype: "int32" }), b.to({ dtype: "int32" })),
  }));
  expect(await x.toArray()).toEqual([5, 14]);
  expect(await y.toArray()).toEqual([3, 12]);
  expect(await z.toArray()).toEqual([
    [0, 9],
    [1, 16],
    [4, 25],
  ]);
  expect(await w.item()).toBe(3);
  expect([i.dtype, await i.toArray()]).toEqual(["int32", [0, 1, 2].map((p) => [0, p, 2 * p])]);
  for (const each of [a, b, x, y, z, w, i]) each.dispose();
});

test.each([
  ["ij", 'needs 2 dims for "ij", got [2, 3, 4].'],
  ["ijk,kl", 'needs a tensor for each of the 2 terms of "ijk,kl", got 1.'],
  ["ijk->ii", 'needs each letter of the result once, and in a term, got "i" in "ijk->ii".'],
  ["ijk->x", 'needs each letter of the result once, and in a term, got "x" in "ijk->x".'],
  ["ij1", 'needs letters, ",", "..." and at most one "->", got "ij1".'],
  ["i->j->k", 'needs letters, ",", "..." and at most one "->", got "i->j->k".'],
  ["iij", 'needs one size for "i" of "iij", got 2 and 3.'],
  ["abcd...", 'needs 4 dims for "abcd...", got [2, 3, 4].'],
  [5 as never, 'needs an equation such as "ij,jk->ik" and then the tensors, got 5.'],
])("%s is refused", (equation, message) => {
  const x = t.zeros([2, 3, 4]);
  expect(() => t.tidy(() => t.einsum(equation, x))).toThrow(`einsum: ${message}`);
  x.dispose();
});
