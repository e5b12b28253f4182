// Hugging Face's library in a process of its own: some input makes it end the process.
// `{ definition, cases: [text, pair?, addSpecialTokens][] }` is answered by `{ error }` or `{ rows }`.
import { createRequire } from "node:module";

const { Tokenizer } = createRequire(new URL("../../bench/package.json", import.meta.url))("tokenizers");

async function rowOf(tokenizer, [text, pair, addSpecialTokens]) {
  try {
    const encoding = await tokenizer.encode(text, pair ?? undefined, { addSpecialTokens });
    const ids = encoding.getIds();
    return {
      ids,
      tokens: encoding.getTokens(),
      offsets: encoding.getOffsets(),
      wordIds: encoding.getWordIds(),
      typeIds: encoding.getTypeIds(),
      sequenceIds: encoding.getSequenceIds(),
      specialTokensMask: encoding.getSpecialTokensMask(),
      attentionMask: encoding.getAttentionMask(),
      decoded: [await tokenizer.decode(ids, false), await tokenizer.decode(ids, true)],
    };
  } catch (error) {
    return { error: error.message };
  }
}

process.on("message", async ({ definition, cases }) => {
  let tokenizer;
  try {
    tokenizer = Tokenizer.fromString(definition);
  } catch (error) {
    process.send({ error: error.message });
    return;
  }
  const rows = [];
  for (const one of cases) rows.push(await rowOf(tokenizer, one));
  process.send({ rows });
});
