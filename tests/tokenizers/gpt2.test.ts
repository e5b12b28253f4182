/** GPT-2's splitting, written out, against its expression in the engine. */
import { expect, test } from "vitest";
import { GPT2_PATTERN, gpt2 } from "../../src/tokenizers/gpt2.js";
import { regex } from "../../src/tokenizers/regex/regex.js";

const snippets = [
  ..." \n\t\r'",
  "'s",
  "'LL",
  "'ll",
  "'l",
  "'re",
  "'r",
  "'ve",
  "'m",
  "'d",
  "'t",
  "  ",
  " \n",
  "a",
  "é",
  "日",
  "1",
  "²",
  "½",
  "!",
  "_",
  "👩‍👧",
  "𝟘",
  "𝒜",
  "\u00a0",
  "\u3000",
  "\u0301",
  "\ud800",
  "\udc00",
];

test("ends of matches agree for random texts, at every place", () => {
  const engine = regex(GPT2_PATTERN);
  let state = 5;
  const next = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 16) % below;
  };
  for (let round = 0; round < 3000; round++) {
    let text = "";
    for (let n = 1 + next(9); n > 0; n--) text += snippets[next(snippets.length)];
    engine.begin(text);
    for (let at = 0; at < text.length; at++) {
      expect(gpt2.matchAt(text, at), `${JSON.stringify(text)} at ${at}`).toBe(engine.matchAt(text, at));
    }
  }
});
