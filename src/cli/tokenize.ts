/** `tenon tokenize <tokenizer>`: the tokens of a text, their ids, and how well the tokenizer fits. */

import { FormatError } from "../core/errors.js";
import "../node/platform.js";
import { read, text as textOf } from "../tokenizers/files.js";
import { type CorpusMetrics, loadTokenizer, type Tokenizer, tokenizerMetrics } from "../tokenizers/index.js";
import { UsageError, usage, withArguments } from "./arguments.js";
import type { CommandIo } from "./io.js";

const table = usage({
  name: "tokenize",
  operands: "<tokenizer.json>",
  count: [1, 1],
  about: "Shows how a tokenizer (a file, a directory or a URL) cuts a text.",
  options: {
    text: { kind: "text", help: "the text" },
    file: { kind: "text", value: "FILE", help: "a file that holds the text (UTF-8)" },
    "no-special": { kind: "flag", help: "leave out the tokens that the tokenizer adds by itself" },
    metrics: { kind: "flag", help: "coverage, fertility, compression, entropy and more" },
  },
});

/** Longer texts show only their beginning. */
const MOST_SHOWN = 2000;

export const run = withArguments(table, async ({ values, operands }, io: CommandIo) => {
  if ((values.text === undefined) === (values.file === undefined)) {
    throw new UsageError(`needs either --text or --file, the text to cut; ${operands[0]} is read as the tokenizer.`);
  }
  const tokenizer = await load(operands[0]);
  const text = values.text ?? textOf(await read(values.file as string), values.file as string);
  const encoding = tokenizer.encode(text, { addSpecialTokens: !values["no-special"] });
  const metrics = values.metrics ? tokenizerMetrics(tokenizer, text) : undefined;
  if (values.json) {
    const { ids, tokens, offsets } = encoding;
    io.json({ count: ids.length, ids, tokens, offsets, hash: tokenizer.hash, ...flat(metrics) });
    return 0;
  }
  if (io.isTerminal && !process.env["NO_COLOR"]) io.out(coloured(text, encoding.offsets));
  const shown = encoding.ids.slice(0, MOST_SHOWN);
  shown.forEach((id, i) => {
    io.out(`${String(id).padStart(8)}  ${JSON.stringify(encoding.tokens[i])}`);
  });
  if (shown.length < encoding.length) io.out(`… and ${encoding.length - shown.length} more`);
  io.out(`${encoding.length} tokens`);
  if (metrics) for (const line of describe(metrics)) io.out(line);
  return 0;
});

/** A text in the place of the tokenizer is taken for one of the older formats, whose errors say little of the mistake. */
async function load(address: string): Promise<Tokenizer> {
  try {
    return await loadTokenizer(address);
  } catch (error) {
    if (!(error instanceof FormatError) || /\.json$/.test(address)) throw error;
    throw error.advise("The first argument is the tokenizer; the text goes by --file or --text.");
  }
}

const flat = (metrics: CorpusMetrics | undefined) => {
  if (metrics === undefined) return {};
  const { perText: _, ...rest } = metrics;
  return { metrics: rest };
};

/** The text with a background for each token, taking turns, so that boundaries are seen. */
function coloured(text: string, offsets: [number, number][]): string {
  const backgrounds = ["\u001b[48;5;24m", "\u001b[48;5;58m", "\u001b[48;5;53m", "\u001b[48;5;22m"];
  let out = "";
  let at = 0;
  let colour = 0;
  for (const [start, end] of offsets) {
    if (end <= at) continue;
    const from = Math.max(at, start);
    out += text.slice(at, from);
    // A background would run on to the end of the line: it is closed before each line feed.
    out += `${backgrounds[colour++ % backgrounds.length]}${text.slice(from, end).replaceAll("\n", "\\n\u001b[0m\n")}\u001b[0m`;
    at = end;
  }
  return out + text.slice(at);
}

function describe(metrics: CorpusMetrics): string[] {
  const percent = (part: number) => `${(100 * part).toFixed(2)} %`;
  return [
    `coverage          ${percent(metrics.coverage)} of ${metrics.characters} characters`,
    `unknown rate      ${percent(metrics.unknownRate)}`,
    `fertility         ${metrics.fertility.toFixed(3)} tokens per word`,
    `compression       ${metrics.compression.toFixed(3)} bytes per token`,
    `entropy           ${metrics.entropy.toFixed(3)} bits per token`,
    `vocabulary use    ${metrics.usedTokens} tokens, ${percent(metrics.vocabularyUse)}`,
  ];
}
