/** Random numbers of one call: the words of core/random.ts, stored or compared. */

import { type RandomCall, randomUniform as uniformsOf, randomBits as wordsOf } from "../../core/random.js";
import type { Operand } from "../kernels.js";
import { floats } from "./memory.js";

/** Element i is (word i >> 8) * 2^-24. */
export function randomUniform(output: Operand, call: RandomCall): void {
  floats(output).set(uniformsOf(call, output.size));
}

/** word i < threshold ? x[i] * scale : +0; threshold is an integer from 0 to 2^32. */
export function dropout(input: Operand, output: Operand, call: RandomCall, threshold: number, scale: number): void {
  const x = floats(input);
  const y = floats(output);
  const words = wordsOf(call, input.size);
  const factor = Math.fround(scale);
  for (let i = 0; i < words.length; i++) y[i] = words[i] < threshold ? x[i] * factor : 0;
}
