/** Components are named where they are loaded from and made elsewhere: both lists hold the same types. */
import { expect, test } from "vitest";
import { decoders } from "../../src/tokenizers/decoder.js";
import type { Kinds } from "../../src/tokenizers/kinds.js";
import { normalizers } from "../../src/tokenizers/normalizer.js";
import { postProcessors } from "../../src/tokenizers/post-processor.js";
import { preTokenizers } from "../../src/tokenizers/pre-tokenizer.js";

test.each(Object.entries<Kinds<any>>({ normalizers, preTokenizers, postProcessors, decoders }))(
  "%s: what is loaded is what is named",
  async (_, kinds) => {
    for (const [types, load] of kinds["later"])
      expect(Object.keys(await load({})).sort()).toEqual(types.split(" ").sort());
  },
);
