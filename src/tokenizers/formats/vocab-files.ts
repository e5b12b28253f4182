/** Older layouts: `vocab.json` with `merges.txt` (GPT-2, RoBERTa), and BERT's `vocab.txt`. */

import { FormatError, show } from "../../core/errors.js";
import { blank, blankBpe, emptyVocab, specialToken } from "../blank.js";
import { type Component, type TokenizerDefinition, tokenText } from "../definition.js";

/** Classes of `tokenizer_config.json` whose texts stand between `<s>` and `</s>`, and those that add nothing. */
const ROBERTA = /^(Roberta|Bart|Longformer|LED|Mvp)Tokenizer(Fast)?$/;
const GPT2 = /^(GPT2|CodeGen|Whisper|PreTrained)Tokenizer(Fast)?$/;

/**
 * Byte-level BPE from a vocabulary and the text of `merges.txt`; `config` is that of `tokenizer_config.json`. Throws
 * FormatError for other families, whose files look alike: their ids would be wrong.
 */
export function readVocabAndMerges(
  vocab: Record<string, number>,
  merges: string,
  config: Record<string, unknown> = {},
): TokenizerDefinition {
  const lines = merges.split(/\r?\n/).filter((line, i) => line !== "" && !(i === 0 && line.startsWith("#version")));
  const family = config.tokenizer_class ?? "GPT2Tokenizer";
  const refuse = (rule: string, got: unknown): never => {
    throw new FormatError(`vocab.json: needs ${rule}, got ${show(got)}.`, {
      where: "vocab.json",
      hint: "Save it as a tokenizer.json: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).",
    });
  };
  const isRoberta = ROBERTA.test(`${family}`);
  if (!isRoberta && !GPT2.test(`${family}`)) refuse("a tokenizer_class like GPT-2's or RoBERTa's beside it", family);
  const names = Object.keys(vocab ?? {});
  const suffixed = names.find((token) => /^.<\/w>$/u.test(token));
  if (suffixed !== undefined) refuse("byte-level tokens without </w>", suffixed);

  const add_prefix_space = config.add_prefix_space === true;
  const byteLevel = { type: "ByteLevel", add_prefix_space, trim_offsets: true, use_regex: true };
  const special = names.filter((token) => /^<\|.*\|>$|^<\/?s>$|^<(pad|unk|mask)>$/.test(token));
  const pair = (role: "bos_token" | "eos_token", usual: string): [string, number] => {
    const token = tokenText(config[role]) ?? usual;
    return Object.hasOwn(vocab, token) ? [token, vocab[token]] : refuse(`its ${role} in the vocabulary`, token);
  };
  let post_processor: Component = byteLevel;
  if (isRoberta) {
    const [cls, sep] = [pair("bos_token", "<s>"), pair("eos_token", "</s>")];
    post_processor = { type: "RobertaProcessing", sep, cls, trim_offsets: true, add_prefix_space };
  } else if (config.add_bos_token === true) {
    const [token, id] = pair("bos_token", "<|endoftext|>");
    const begin = { SpecialToken: { id: token, type_id: 0 } };
    const text = (id: "A" | "B", type_id: number) => ({ Sequence: { id, type_id } });
    post_processor = {
      type: "TemplateProcessing",
      single: [begin, text("A", 0)],
      pair: [begin, text("A", 0), begin, text("B", 1)],
      special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
    };
  }
  return blank({
    added_tokens: special.map((content) => ({
      ...specialToken(content, vocab[content]),
      lstrip: isRoberta && content === "<mask>",
    })),
    pre_tokenizer: byteLevel,
    post_processor,
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
