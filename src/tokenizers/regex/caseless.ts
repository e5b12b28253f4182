/** Plain characters of an expression that match without regard to case. */

import { caseVariants, multipleFolds, single, union } from "./character-set.js";
import type { Node } from "./parse.js";

/** A run of characters without regard to case; some characters fold to two or three. */
export function caseless(run: number[]): Node[] {
  const lower = run.map((code) => String.fromCodePoint(code).toLowerCase().codePointAt(0) as number);
  const out: Node[] = [];
  const known = new Map<number, Node>();
  const one = (code: number): Node => {
    const node = known.get(code) ?? { kind: "set", set: union(caseVariants(code).map(single)) };
    known.set(code, node);
    return node;
  };
  const letters = lower.map((code) => String.fromCodePoint(code)).join("");
  const folds = run.every((code) => code < 0x80) && !/ss|f[fil]|st/.test(letters) ? [] : multipleFolds();
  for (let i = 0; i < run.length; ) {
    const own = folds.find(([code]) => code === run[i]);
    if (own !== undefined) {
      const same = folds.filter(([, fold]) => String(fold) === String(own[1])).map(([code]) => single(code));
      out.push({
        kind: "any",
        nodes: [
          { kind: "set", set: union(same) },
          { kind: "all", nodes: own[1].map(one) },
        ],
      });
      i++;
      continue;
    }
    const matching = folds.filter(([, fold]) => fold.every((code, k) => lower[i + k] === code));
    const longest = Math.max(1, ...matching.map(([, fold]) => fold.length));
    const plain: Node = { kind: "all", nodes: run.slice(i, i + longest).map(one) };
    if (matching.length === 0) out.push(one(run[i]));
    else {
      const others = matching.map(
        ([code, fold]): Node => ({
          kind: "all",
          nodes: [{ kind: "set", set: single(code) }, ...run.slice(i + fold.length, i + longest).map(one)],
        }),
      );
      out.push({ kind: "any", nodes: [plain, ...others] });
    }
    i += longest;
  }
  return out;
}
