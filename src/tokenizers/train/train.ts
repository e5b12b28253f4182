/** `trainTokenizer`: from texts to a tokenizer. */

import { checkCorpusText, checkLearns } from "../arguments.js";
import { blank, blankBpe, emptyVocab, specialToken } from "../blank.js";
import { createTokenizer } from "../create.js";
import type { Component, TokenizerDefinition } from "../definition.js";
import { normalizers } from "../normalizer.js";
import { wellFormed } from "../offsets.js";
import type { Tokenizer } from "../tokenizer.js";
import { trainBpe } from "./bpe.js";
import { trainSettings } from "./options.js";
import { trainUnigram } from "./unigram.js";
import { WordCounter } from "./words.js";

/** Texts to learn from: one, several, or a stream of them; Blobs and Files are read as UTF-8. */
export type Corpus = string | Blob | Iterable<string | Blob> | AsyncIterable<string | Blob>;

export interface TrainOptions {
  model?: "bpe" | "wordpiece" | "unigram";
  /**
   * Size of the vocabulary, special tokens included; 30,000 unless told. Special tokens and the alphabet (256 bytes for
   * byte-level BPE) are all kept, however many they are, as in Hugging Face's trainers.
   */
  vocabSize?: number;
  /** Tokens with the lowest ids that are kept whole in texts. */
  specialTokens?: string[];
  /** Pairs seen less often are not merged (BPE, WordPiece); 0 unless told. */
  minFrequency?: number;
  /** At most so many different characters; the rarest are dropped (BPE, WordPiece). */
  limitAlphabet?: number;
  /** Characters that are in the vocabulary whether seen or not (BPE, WordPiece); all 256 bytes for byte-level BPE. */
  initialAlphabet?: string[];
  /** BPE on bytes (the default) or on characters. */
  byteLevel?: boolean;
  /** Another normalizer or pre-tokenizer, as in a `tokenizer.json`; null for none. BPE on bytes adds `ByteLevel`. */
  normalizer?: Component | null;
  preTokenizer?: Component | null;
  /** The token for what the vocabulary cannot spell; "<unk>", for WordPiece "[UNK]". */
  unknownToken?: string;
  /** Put before what continues a word (BPE on characters; WordPiece, "##" unless told). */
  continuingSubwordPrefix?: string;
  /** Put behind the last character of a word (BPE on characters). */
  endOfWordSuffix?: string;
  /** Longest token in characters; 16 for Unigram, no limit otherwise. */
  maxTokenLength?: number;
  /** Which of two equally frequent pairs is merged first: that of the lower ids (the default), or of the greater bytes. */
  ties?: "lowestIds" | "greatestText";
  /** Cut the corpus at special tokens, so that nothing is learnt across them; false unless told. */
  splitSpecialTokens?: boolean;
  /** Called now and then with what is done and what there is to do. */
  onProgress?: (progress: { phase: "reading" | "training"; done: number; total: number | undefined }) => void;
}

/**
 * Trains a tokenizer. The result depends on the texts and options alone. BPE learns the merges of Hugging Face's
 * trainer; WordPiece is BPE with a prefix, as there. Throws ConfigError for options that make no sense, and DataError for
 * a corpus without a character (from which Hugging Face's trainers make a tokenizer that knows nothing).
 */
export async function trainTokenizer(corpus: Corpus, options: TrainOptions = {}): Promise<Tokenizer> {
  const settings = await trainSettings(options);
  const { model, normalizer, preTokenizer, specialTokens, onProgress } = settings;
  const counter = new WordCounter(
    normalizer ? normalizers.create(normalizer) : undefined,
    preTokenizer,
    settings.splitSpecialTokens ? specialTokens : [],
  );
  let read = 0;
  for await (const text of texts(corpus)) {
    counter.add(wellFormed(text));
    read += text.length;
    onProgress?.({ phase: "reading", done: read, total: undefined });
  }
  checkLearns("trainTokenizer", read);
  const words = counter.counts();
  const training = (done: number, total: number) => onProgress?.({ phase: "training", done, total });
  const definition = blank({ normalizer, pre_tokenizer: preTokenizer, decoder: settings.decoder, model: {} });
  if (model === "unigram") {
    const vocab = trainUnigram(words, {
      vocabSize: settings.vocabSize,
      specialTokens,
      unknownToken: settings.unknownToken,
      seedSize: 1_000_000,
      maxTokenLength: settings.maxTokenLength,
      shrinkingFactor: 0.75,
      rounds: 2,
      onProgress: training,
    });
    definition.model = { type: "Unigram", unk_id: 0, vocab, byte_fallback: false };
    addSpecial(definition, [settings.unknownToken, ...specialTokens], (token) =>
      vocab.findIndex(([other]) => other === token),
    );
    return createTokenizer(definition);
  }
  const unknown = model === "wordpiece" || !settings.byteLevel ? settings.unknownToken : undefined;
  const special =
    unknown === undefined || specialTokens.includes(unknown) ? specialTokens : [unknown, ...specialTokens];
  const { tokens, merges } = trainBpe(words, {
    vocabSize: settings.vocabSize,
    specialTokens: special,
    minFrequency: settings.minFrequency,
    limitAlphabet: settings.limitAlphabet,
    initialAlphabet: settings.initialAlphabet,
    prefix: settings.prefix,
    suffix: settings.suffix,
    maxTokenLength: settings.maxTokenLength,
    ties: settings.ties,
    onProgress: training,
  });
  const vocab = emptyVocab();
  tokens.forEach((token, id) => {
    vocab[token] = id;
  });
  definition.model =
    model === "wordpiece"
      ? {
          type: "WordPiece",
          unk_token: unknown,
          continuing_subword_prefix: settings.prefix,
          max_input_chars_per_word: 100,
          vocab,
        }
      : blankBpe(vocab, merges, {
          unk_token: unknown ?? null,
          continuing_subword_prefix: settings.prefix || null,
          end_of_word_suffix: settings.suffix || null,
        });
  addSpecial(definition, special, (token) => vocab[token]);
  return createTokenizer(definition);
}

function addSpecial(definition: TokenizerDefinition, tokens: string[], idOf: (token: string) => number): void {
  definition.added_tokens = [...new Set(tokens)].map((content) => specialToken(content, idOf(content)));
}

async function* texts(corpus: Corpus): AsyncGenerator<string> {
  if (typeof corpus === "string") return yield corpus;
  const isMany = typeof corpus === "object" && corpus !== null && !(corpus instanceof Blob);
  const items = isMany && (Symbol.iterator in corpus || Symbol.asyncIterator in corpus) ? corpus : [corpus as Blob];
  for await (const item of items) {
    checkCorpusText(item);
    yield typeof item === "string" ? item : await item.text();
  }
}
