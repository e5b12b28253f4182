/** Expressions that real files seldom hold, with what Oniguruma (Hugging Face's tokenizers 0.23.2) finds. */
import { expect, test } from "vitest";
import { regex } from "../../src/tokenizers/regex/regex.js";

/** What is left of a text without the matches. */
function left(pattern: string, text: string): string {
  let out = "";
  let last = 0;
  for (const [start, end] of regex(pattern).matches(text)) {
    out += text.slice(last, start);
    last = end;
  }
  return out + text.slice(last);
}

test.each([
  ["(?i)[^a]", ["aA", "", ""]],
  ["(?i)[^a-z]", ["aAbB", "kK\u212a", "z"]],
  ["(?i)[^\\p{Lu}]", ["aAbB", "kK\u212a", "éÉz"]],
  // The brackets inside are negated as they are; case is ignored in all that the outermost one holds.
  ["(?i)[b[^a]]", ["", "", ""]],
  ["(?i)[^[^a]]", ["aA1bB", "kK\u212a", "éÉz"]],
  ["(?i)[a-z&&[^a]]", ["aA1", "", "éÉ"]],
  ["(?i)[^K]", ["", "kK\u212a", ""]],
  ["(?i)[^é]", ["", "", "éÉ"]],
])("%s ignores case before it negates", (pattern, wanted) => {
  expect(["aA1bB", "kK\u212a", "éÉz"].map((text) => left(pattern, text))).toEqual(wanted);
});

test.each([
  [
    "(?:|a)+",
    "aab",
    [
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 3],
    ],
  ],
  [
    "(?:|a)*",
    "aa",
    [
      [0, 0],
      [1, 1],
      [2, 2],
    ],
  ],
  [
    "(?:a|)+",
    "aab",
    [
      [0, 2],
      [3, 3],
    ],
  ],
  ["(?:a??)+b", "aab", [[0, 3]]],
])("an iteration of nothing ends %s", (pattern, text, wanted) => {
  expect(regex(pattern).matches(text)).toEqual(wanted);
});

test("states of very many threads are made in time, and count", () => {
  const started = performance.now();
  expect(regex("(?:a?){16000}b").matches("a".repeat(50))).toEqual([]);
  // Each thread was looked for among all others: ten seconds.
  expect(performance.now() - started).toBeLessThan(5000);
  expect(() => regex("(?:a?){16000}b").matches("a".repeat(2000))).toThrow(/times over/);
});
