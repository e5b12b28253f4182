/** Options of `trainTokenizer`: checked, and with the defaults of their model. */

import { ConfigError } from "../../core/errors.js";
import { checkCounts, checkOptions, checkWord, refuseOption } from "../../core/options.js";
import { blank, escaped, replacing } from "../blank.js";
import { byteCharacters } from "../byte-alphabet.js";
import { checkDefinition } from "../create.js";
import type { Component } from "../definition.js";
import { normalizers } from "../normalizer.js";
import { Piece } from "../piece.js";
import { preTokenizers } from "../pre-tokenizer.js";
import type { TrainOptions } from "./train.js";

const WHERE = "trainTokenizer";

const ALL = "model vocabSize specialTokens normalizer preTokenizer splitSpecialTokens onProgress maxTokenLength";
const MERGING = "minFrequency limitAlphabet initialAlphabet continuingSubwordPrefix ties unknownToken";
/** What each model has a use for. */
const KNOWN = {
  bpe: `${ALL} ${MERGING} byteLevel endOfWordSuffix`.split(" "),
  wordpiece: `${ALL} ${MERGING}`.split(" "),
  unigram: `${ALL} unknownToken`.split(" "),
};

const BYTES = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const METASPACE = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
const BERT = {
  type: "BertNormalizer",
  clean_text: true,
  handle_chinese_chars: true,
  strip_accents: null,
  lowercase: true,
};

const isByteLevel = (part: Component | null): boolean =>
  part?.type === "ByteLevel" || ((part?.pretokenizers ?? part?.normalizers ?? []) as Component[]).some(isByteLevel);

/** A pre-tokenizer whose pieces are then written in the byte alphabet. */
function toBytes(part: Component | null): Component {
  const bytes = { ...BYTES, use_regex: false };
  if (part === null) return bytes;
  const parts = part.type === "Sequence" ? (part.pretokenizers as Component[]) : [part];
  return { type: "Sequence", pretokenizers: [...parts, bytes] };
}

/** Options with their defaults. Throws ConfigError for those that make no sense. */
export async function trainSettings(options: TrainOptions) {
  checkOptions(WHERE, options, KNOWN.bpe);
  const { model = "bpe", vocabSize = 30000, minFrequency = 0, specialTokens = [] } = options;
  checkWord(WHERE, "model", model, Object.keys(KNOWN));
  for (const name of Object.keys(options) as (keyof TrainOptions)[]) {
    if (options[name] === undefined || KNOWN[model].includes(name)) continue;
    throw new ConfigError(`${WHERE}: model ${model} has no use for ${name}.`, { where: WHERE, option: name });
  }
  const byteLevel = model === "bpe" && options.byteLevel !== false;
  const {
    limitAlphabet = Number.POSITIVE_INFINITY,
    initialAlphabet = byteLevel ? byteCharacters : [],
    continuingSubwordPrefix: prefix = model === "wordpiece" ? "##" : "",
    endOfWordSuffix: suffix = "",
    unknownToken = model === "wordpiece" ? "[UNK]" : "<unk>",
    maxTokenLength = model === "unigram" ? 16 : Number.POSITIVE_INFINITY,
    ties = "lowestIds",
  } = options;
  checkCounts(WHERE, { vocabSize });
  checkCounts(WHERE, { minFrequency }, 0);
  for (const [name, count] of Object.entries({ limitAlphabet, maxTokenLength })) {
    if (count !== Number.POSITIVE_INFINITY) checkCounts(WHERE, { [name]: count });
  }
  checkWord(WHERE, "ties", ties, ["lowestIds", "greatestText"]);
  const isText = (text: unknown) => typeof text === "string" && text !== "";
  for (const [name, list] of Object.entries({ specialTokens, initialAlphabet })) {
    if (!Array.isArray(list) || !list.every(isText)) refuseOption(WHERE, name, "a list of texts", list);
  }
  if (!isText(unknownToken)) refuseOption(WHERE, "unknownToken", "a text", unknownToken);
  for (const [name, text] of Object.entries({ continuingSubwordPrefix: prefix, endOfWordSuffix: suffix })) {
    if (typeof text !== "string") refuseOption(WHERE, name, "a text", text);
    if (byteLevel && text !== "") {
      // A byte at the end of a word that no word of the corpus ends with would have no token.
      throw new ConfigError(`${WHERE}: needs byteLevel: false with ${name}, got a model on bytes.`, { where: WHERE });
    }
  }

  const defaults = {
    bpe: { normalizer: null, preTokenizer: byteLevel ? BYTES : METASPACE, decoder: byteLevel ? BYTES : METASPACE },
    wordpiece: {
      normalizer: BERT,
      preTokenizer: { type: "BertPreTokenizer" },
      decoder: { type: "WordPiece", prefix, cleanup: true },
    },
    unigram: { normalizer: { type: "NFKC" }, preTokenizer: METASPACE, decoder: METASPACE },
  };
  const fallback = defaults[model];
  let preTokenizer: Component | null =
    options.preTokenizer === undefined ? fallback.preTokenizer : options.preTokenizer;
  const normalizer: Component | null = options.normalizer === undefined ? fallback.normalizer : options.normalizer;
  checkDefinition(blank({ normalizer, pre_tokenizer: preTokenizer, model: {} }), WHERE);
  if (byteLevel && !isByteLevel(preTokenizer) && !isByteLevel(normalizer)) preTokenizer = toBytes(preTokenizer);
  await Promise.all([normalizers.load(normalizer), preTokenizers.load(preTokenizer)]);
  // A mistake in a component shows before the corpus is read.
  if (preTokenizer) preTokenizers.create(preTokenizer).cut(new Piece("a", 0, false));

  let decoder: Component = fallback.decoder;
  if (model === "bpe" && (prefix !== "" || suffix !== "")) {
    const decoders: Component[] = [];
    if (prefix !== "") decoders.push(replacing(`\\A${escaped(prefix)}`, ""));
    // The mark before a word says already where there is a space.
    if (suffix !== "" && options.preTokenizer) decoders.push({ type: "BPEDecoder", suffix });
    else if (suffix !== "") decoders.push(replacing(`${escaped(suffix)}\\z`, ""));
    decoder = { type: "Sequence", decoders: [...decoders, decoder] };
  }
  return {
    ...{ model, vocabSize, minFrequency, specialTokens, byteLevel, normalizer, preTokenizer, decoder, unknownToken },
    ...{ limitAlphabet, initialAlphabet, prefix, suffix, maxTokenLength, ties },
    splitSpecialTokens: options.splitSpecialTokens === true,
    onProgress: options.onProgress,
  };
}
