/** `tenon tokenizer train <files…>`: learns a tokenizer from text files and writes a `tokenizer.json`. */

import { rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ConfigError, DataError, listOf } from "../core/errors.js";
import "../node/platform.js";
import { read, text } from "../tokenizers/files.js";
import { trainTokenizer } from "../tokenizers/index.js";
import { UsageError, usage, withArguments } from "./arguments.js";
import { type CommandIo, whenReaderLeaves } from "./io.js";
import { isFolder } from "./locate.js";

const table = usage({
  name: "tokenizer train",
  operands: "<files…>",
  count: [1, Number.MAX_SAFE_INTEGER],
  about: "Learns a tokenizer from text files (UTF-8) and writes it as tokenizer.json.",
  options: {
    model: { kind: ["bpe", "unigram", "wordpiece"], help: "the kind of tokenizer; bpe unless told" },
    "vocab-size": { kind: { integer: [1, 10_000_000] }, help: "size of the vocabulary; 30000 unless told" },
    "min-frequency": { kind: { integer: [0, Number.MAX_SAFE_INTEGER] }, help: "pairs seen less often are not merged" },
    "limit-alphabet": { kind: { integer: [1, 1_114_112] }, help: "at most so many different characters" },
    special: { kind: "text", value: "A,B", help: "special tokens, separated by commas" },
    characters: { kind: "flag", help: "BPE on characters instead of bytes" },
    out: { kind: "text", value: "FILE", help: "where to write the tokenizer.json" },
  },
});

export const run = withArguments(table, async ({ values, operands }, io: CommandIo) => {
  if (values.out === undefined) throw new UsageError("needs --out, the file to write.");
  // Told before the training and not after it.
  if (isFolder(values.out)) throw new ConfigError(`${values.out}: is a folder, a file to write was expected.`);
  if (!isFolder(dirname(values.out)))
    throw new ConfigError(`${values.out}: cannot be written, there is no such folder.`);
  async function* files(): AsyncGenerator<string> {
    for (const file of operands) yield text(await read(file), file);
  }
  // The file is what matters, whoever reads the progress.
  whenReaderLeaves(() => {});
  let shown = -1;
  const tokenizer = await trainTokenizer(files(), {
    model: values.model,
    vocabSize: values["vocab-size"],
    minFrequency: values["min-frequency"],
    limitAlphabet: values["limit-alphabet"],
    specialTokens: values.special?.split(",").filter((token) => token !== ""),
    byteLevel: values.characters ? false : undefined,
    onProgress({ phase, done, total }) {
      const tenth = phase === "training" && total ? Math.floor((10 * done) / total) : -1;
      if (values.json || tenth <= shown) return;
      shown = tenth;
      io.err(`training: ${tenth * 10} %`);
    },
  }).catch((error) => {
    // What the texts lack is told of the files.
    throw error instanceof DataError && error.where === "trainTokenizer" ? error.under(listOf(operands)) : error;
  });
  const wanted = values["vocab-size"] ?? tokenizer.vocabSize;
  if (tokenizer.vocabSize > wanted) {
    const kept = "special tokens and the alphabet (of BPE on bytes all 256) are kept";
    io.err(`warning: --vocab-size ${wanted} leaves no room for merges: ${kept}, ${tokenizer.vocabSize} tokens.`);
  }
  const part = `${values.out}.part`;
  try {
    await writeFile(part, `${JSON.stringify(tokenizer, null, 2)}\n`);
    await rename(part, values.out);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  const { vocabSize, hash } = tokenizer;
  const { merges } = tokenizer.toJSON().model as { merges?: unknown[] };
  const summary = { out: values.out, model: values.model ?? "bpe", vocabSize, merges: merges?.length, hash };
  if (values.json) io.json(summary);
  else io.out(`${values.out}: ${vocabSize} tokens${merges ? `, ${merges.length} merges` : ""}\nhash ${hash}`);
  return 0;
});
