/** Older layouts: `vocab.json` with `merges.txt` (GPT-2, RoBERTa), and BERT's `vocab.txt`. */

import { FormatError } from "../../core/errors.js";
import { blank, blankBpe, emptyVocab, specialToken } from "../blank.js";
import type { TokenizerDefinition } from "../definition.js";

/** Byte-level BPE from a vocabulary and the text of `merges.txt`. */
export function readVocabAndMerges(vocab: unknown, merges: string): TokenizerDefinition {
  const lines = merges.split(/\r?\n/).filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version")));
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const names = Object.keys((vocab ?? {}) as object).filter((token) =>
    /^<\|.*\|>$|^<\/?s>$|^<(pad|unk|mask)>$/.test(token),
  );
  return blank({
    added_tokens: names.map((content) => specialToken(content, (vocab as Record<string, number>)[content])),
    pre_tokenizer: byteLevel,
    post_processor: byteLevel,
    decoder: byteLevel,
    model: blankBpe(vocab, lines),
  });
}

/** WordPiece from a list of tokens, a line each, with BERT's normalization. */
export function readVocabText(text: string, name: string, lowercase: boolean): TokenizerDefinition {
  const tokens = text.replace(/\r?\n$/, "").split(/\r?\n/);
  const vocab = emptyVocab();
  tokens.forEach((token, id) => {
    vocab[token] = id; // of equal lines the last counts, as in Hugging Face's readers
  });
  const [cls, sep] = [vocab["[CLS]"], vocab["[SEP]"]];
  if (cls === undefined || sep === undefined) {
    throw new FormatError(`${name}: needs the tokens [CLS] and [SEP], each on a line, got neither or one.`, {
      where: name,
    });
  }
  const names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].filter((token) => Object.hasOwn(vocab, token));
  return blank({
    added_tokens: names.map((content) => specialToken(content, vocab[content])),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: { type: "BertProcessing", sep: ["[SEP]", sep], cls: ["[CLS]", cls] },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab,
    },
  });
}
