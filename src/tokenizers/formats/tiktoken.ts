/** tiktoken rank files: a line for each token, its bytes in base64 and its rank, which is its id. */

import { FormatError, show } from "../../core/errors.js";
import { blank, blankBpe, emptyVocab, specialToken } from "../blank.js";
import { byteCharacters } from "../byte-alphabet.js";
import type { TokenizerDefinition } from "../definition.js";
import { GPT2_PATTERN } from "../gpt2.js";

const CL100K_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const O200K_PATTERN = [
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  "\\p{N}{1,3}",
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*",
  "\\s*[\\r\\n]+",
  "\\s+(?!\\S)",
  "\\s+",
].join("|");

interface PublishedEncoding {
  pattern: string;
  special: Record<string, number>;
}

/** The published encodings, known by how many ranks they have. The files do not hold pattern and special tokens. */
const ENCODINGS: Record<number, PublishedEncoding> = {
  50256: { pattern: GPT2_PATTERN, special: { "<|endoftext|>": 50256 } },
  50280: { pattern: GPT2_PATTERN, special: { "<|endoftext|>": 50256 } },
  100256: {
    pattern: CL100K_PATTERN,
    special: {
      "<|endoftext|>": 100257,
      "<|fim_prefix|>": 100258,
      "<|fim_middle|>": 100259,
      "<|fim_suffix|>": 100260,
      "<|endofprompt|>": 100276,
    },
  },
  199998: { pattern: O200K_PATTERN, special: { "<|endoftext|>": 199999, "<|endofprompt|>": 200018 } },
};

export interface TiktokenOptions {
  /** The splitting expression; for files that are none of OpenAI's, cl100k's (that of Llama 3) unless told. */
  pattern?: string;
  specialTokens?: Record<string, number>;
}

/** Bytes of a token: its merges are found in time that grows with their square. Real ones have 128. */
const LONGEST = 4096;

/** Turns a rank file into a `tokenizer.json`. Throws FormatError naming the line that is not right. */
export function readTiktoken(text: string, name: string, options: TiktokenOptions = {}): TokenizerDefinition {
  // Keys are the bytes as characters U+0000 to U+00FF.
  const ranks = new Map<string, number>();
  text.split("\n").forEach((line, i) => {
    if (line.trim() === "") return;
    const [base64, rank] = line.trim().split(" ");
    const id = Number(rank);
    let bytes: string | undefined;
    try {
      bytes = atob(base64);
    } catch {
      bytes = undefined;
    }
    if (bytes === undefined || rank === undefined || !Number.isInteger(id) || id < 0 || ranks.has(bytes)) {
      throw new FormatError(`${name}: line ${i + 1} needs a new token in base64 and its rank, got ${show(line)}.`, {
        where: name,
        line: i + 1,
      });
    }
    if (bytes.length > LONGEST) {
      throw new FormatError(`${name}: line ${i + 1} needs a token of at most ${LONGEST} bytes, got ${bytes.length}.`, {
        where: name,
        line: i + 1,
      });
    }
    ranks.set(bytes, id);
  });
  const known = ENCODINGS[ranks.size];
  const spell = (bytes: string) => Array.from(bytes, (byte) => byteCharacters[byte.charCodeAt(0)]).join("");
  const vocab = emptyVocab();
  const merges: [string, string][] = [];
  for (const [bytes, rank] of [...ranks].sort((a, b) => a[1] - b[1])) {
    vocab[spell(bytes)] = rank;
    if (bytes.length < 2) continue;
    const parts = lastMerge(bytes, rank, ranks);
    if (parts !== undefined) merges.push([spell(parts[0]), spell(parts[1])]);
  }
  const special = options.specialTokens ?? known?.special ?? {};
  // Added tokens are numbered on from the vocabulary: ids that leave a gap must be in it.
  for (const [token, id] of Object.entries(special)) vocab[token] ??= id;
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const pattern = options.pattern ?? known?.pattern ?? CL100K_PATTERN;
  return blank({
    added_tokens: Object.entries(special).map(([content, id]) => specialToken(content, id)),
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [{ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }, byteLevel],
    },
    decoder: byteLevel,
    // tiktoken looks for the whole piece first.
    model: blankBpe(vocab, merges, { ignore_merges: true }),
  });
}

/** The two parts that a token is made of by its last merge: what merging by lower ranks alone leaves of it. */
function lastMerge(bytes: string, rank: number, ranks: Map<string, number>): [string, string] | undefined {
  const parts = [...bytes];
  const rankAt = (i: number) => ranks.get(parts[i] + parts[i + 1]) ?? rank;
  /** Of each part and the next one. */
  const pairs = parts.slice(1).map((_, i) => rankAt(i));
  while (parts.length > 2) {
    let at = 0;
    for (let i = 1; i < pairs.length; i++) if (pairs[i] < pairs[at]) at = i;
    if (pairs[at] >= rank) return undefined;
    parts.splice(at, 2, parts[at] + parts[at + 1]);
    pairs.splice(at, 1);
    if (at < pairs.length) pairs[at] = rankAt(at);
    if (at > 0) pairs[at - 1] = rankAt(at - 1);
  }
  return parts.every((part) => ranks.has(part)) ? [parts[0], parts[1]] : undefined;
}
