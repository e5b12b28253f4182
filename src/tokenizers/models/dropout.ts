/** BPE dropout (Provilkov et al. 2020): merges are left out at random, the same ones for the same seed. */

import { Generator, randomUniform } from "../../core/random.js";

/** Uniform numbers in [0, 1) from the stream "bpe-dropout" of a seed. */
export function uniform(seed: number): () => number {
  const generator = new Generator(seed);
  let block: Float32Array = new Float32Array(0);
  let at = 0;
  return () => {
    if (at === block.length) {
      block = randomUniform(generator.next("bpe-dropout"), 1024);
      at = 0;
    }
    return block[at++];
  };
}
