/** Tokenizers that need no file. */

import { checkLearns, checkText } from "./arguments.js";
import { blank, blankBpe } from "./blank.js";
import { byteCharacters } from "./byte-alphabet.js";
import { Bpe } from "./models/bpe.js";
import { Tokenizer } from "./tokenizer.js";

/**
 * One token for each different character (code point) of `text`, in the order of code points: byte-pair encoding
 * without merges. Characters that `text` does not hold are left out when encoding.
 */
export function charTokenizer(text: string): Tokenizer {
  checkText("charTokenizer", text);
  checkLearns("charTokenizer", text.length);
  const codes = new Set<number>();
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i) as number;
    if (code > 0xffff) i++;
    // Lone surrogates encode as U+FFFD.
    codes.add(code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
  }
  const vocab: Record<string, number> = {};
  [...codes]
    .sort((a, b) => a - b)
    .forEach((code, id) => {
      vocab[String.fromCodePoint(code)] = id;
    });
  return plainBpe(vocab, null, { type: "Fuse" });
}

/** One token for each of the 256 bytes of UTF-8, the byte's value as its id: every text has an encoding. */
export function byteTokenizer(): Tokenizer {
  const vocab: Record<string, number> = {};
  byteCharacters.forEach((character, byte) => {
    vocab[character] = byte;
  });
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  return plainBpe(vocab, byteLevel, byteLevel);
}

type Part = { type: string } & Record<string, unknown>;

function plainBpe(vocab: Record<string, number>, pre_tokenizer: Part | null, decoder: Part): Tokenizer {
  const model = blankBpe(vocab, []);
  return new Tokenizer(blank({ pre_tokenizer, decoder, model }), new Bpe(model));
}
