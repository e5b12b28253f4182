/** From documents to tokens: the data of language models. */

import { ConfigError, DataError } from "../core/errors.js";
import type { MapOptions } from "./map.js";
import { checkKinds } from "./options.js";
import type { Row } from "./row.js";
import type { TokenSequence } from "./tokens.js";
import { tokensInMemory } from "./tokens.js";
import { showValue } from "./violation.js";

/** What we need of a tokenizer; those of `tenon/tokenizers` fit. */
export interface TextTokenizer {
  encode(text: string, options?: { addSpecialTokens?: boolean }): { ids: ArrayLike<number> };
  readonly vocabSize?: number;
  /** Identity, for fingerprints. */
  readonly hash?: string;
}

export interface DocumentOptions {
  /** Column that holds the text; `text` unless told. */
  column?: string;
  /** Id put after every document, so that the model learns where texts end; none unless told. */
  endOfText?: number;
}

function documentOptions(where: string, options: DocumentOptions) {
  checkKinds(where, options, { column: "text", endOfText: "id" });
  const { column = "text", endOfText } = options;
  return { column, endOfText };
}

type Documents = AsyncIterable<Row | string> | Iterable<Row | string>;

/** The ids of documents, one array per document, end of text included: for `tokenFileBytes` or `collectTokens`. */
export async function* tokenizeDocuments(
  documents: Documents,
  tokenizer: TextTokenizer,
  options: DocumentOptions = {},
): AsyncGenerator<Int32Array> {
  const { column, endOfText } = documentOptions("tokenizeDocuments", options);
  let number = 0;
  for await (const document of documents) {
    number++;
    const text = typeof document === "string" ? document : document[column];
    if (typeof text !== "string") {
      throw new DataError(`tokenizeDocuments: document ${number} has no text in the column "${column}".`, {
        where: "tokenizeDocuments",
        hint: 'Name the column that holds the text with the option "column".',
      });
    }
    const { ids } = tokenizer.encode(text, { addSpecialTokens: false });
    const out = new Int32Array(ids.length + (endOfText === undefined ? 0 : 1));
    out.set(ids);
    if (endOfText !== undefined) out[ids.length] = endOfText;
    if (out.length > 0) yield out;
  }
}

/** A function for `map`: rows with a text become rows `{ ids }`, which `pack` lays into blocks. */
export function encodeTexts(tokenizer: TextTokenizer, options: DocumentOptions = {}) {
  const { column, endOfText } = documentOptions("encodeTexts", options);
  return (row: Row): { ids: Int32Array } => {
    const text = row[column];
    if (typeof text !== "string") {
      throw new DataError(`encodeTexts: needs a text in the column "${column}", got ${showValue(text)}.`, {
        where: "encodeTexts",
      });
    }
    const { ids } = tokenizer.encode(text, { addSpecialTokens: false });
    return { ids: Int32Array.from(endOfText === undefined ? Array.from(ids) : [...Array.from(ids), endOfText]) };
  };
}

/** Options for the `map` above: an identity for the fingerprint, and the schema of token rows. */
export const tokenStep = (tokenizer: TextTokenizer, version: string | number = 1): MapOptions => ({
  name: `tokens ${tokenizer.hash ?? "of an unnamed tokenizer"}`,
  version,
  schema: { fields: [{ name: "ids", type: "tokens" }] },
});

/** All pieces in memory, in two bytes per id where the vocabulary allows it. */
export async function collectTokens(
  pieces: AsyncIterable<Int32Array>,
  vocabSize = Number.POSITIVE_INFINITY,
  name = "tokens",
): Promise<TokenSequence> {
  const Ids = vocabSize <= 65536 ? Uint16Array : Int32Array;
  let all = new Ids(1 << 16);
  let length = 0;
  for await (const piece of pieces) {
    if (length + piece.length > all.length) {
      const larger = new Ids(2 * Math.max(all.length, piece.length));
      larger.set(all.subarray(0, length));
      all = larger;
    }
    all.set(piece, length);
    const lost = piece.findIndex((id, i) => id !== all[length + i]);
    if (lost >= 0) {
      throw new ConfigError(`collectTokens: ids of a vocabulary of ${vocabSize} go up to 65535, got ${piece[lost]}.`, {
        where: "collectTokens",
        hint: "Pass one more than the greatest id as vocabSize, the end of text included.",
      });
    }
    length += piece.length;
  }
  return tokensInMemory(all.slice(0, length), name);
}

/** A part of a text that the model reads (`train: false`) or learns to write (`train: true`). */
export interface TextPart {
  text: string;
  train: boolean;
}

export interface ChatMessage {
  role: string;
  content: string;
}

export interface InstructionOptions {
  /** Columns of a prompt and its response; `instruction`, `input` (may be absent or empty) and `output` unless told. */
  columns?: { prompt?: string; input?: string; response?: string };
  /** Column of chat messages `[{ role, content }]`; `messages` unless told. Rows that have it are chats. */
  messages?: string;
  /** Turns a row into parts, in place of the built-in forms. */
  format?: (row: Row) => TextPart[];
  /** Id put after every example, and learnt; none unless told. */
  endOfText?: number;
  /** Longest example in ids. */
  maxLength?: number;
  /** What to do with longer ones: `error` (unless told), `truncate` at the end, or `skip`. */
  overflow?: "error" | "truncate" | "skip";
}

/** Ids and labels of equal length; -100 where the model only reads. */
export interface InstructionExample {
  ids: Int32Array;
  labels: Int32Array;
}

/**
 * A function for `flatMap` that encodes instruction data: prompts are read, responses are learnt.
 *
 * @example
 * const examples = fromJson("instructions.json").flatMap(encodeInstructions(tokenizer, { endOfText: 0 }), instructionStep(tokenizer));
 */
export function encodeInstructions(
  tokenizer: TextTokenizer,
  options: InstructionOptions = {},
): (row: Row, context?: { index: number }) => InstructionExample[] {
  checkKinds("encodeInstructions", options, {
    columns: "other",
    messages: "text",
    format: "other",
    endOfText: "id",
    maxLength: "count",
    overflow: ["error", "truncate", "skip"],
  });
  const { maxLength = Number.POSITIVE_INFINITY, overflow = "error", endOfText } = options;
  return (row, context) => {
    const place = `encodeInstructions: row ${(context?.index ?? 0) + 1}`;
    const example = encodeParts(
      (options.format ?? ((each) => instructionParts(each, options, place)))(row),
      tokenizer,
      endOfText,
    );
    const { length } = example.ids;
    if (!example.labels.some((label) => label !== -100)) {
      throw new DataError(`${place} has nothing to learn: its response is empty.`, { where: "encodeInstructions" });
    }
    if (length <= maxLength) return [example];
    if (overflow === "skip") return [];
    if (overflow === "truncate") {
      const cut = { ids: example.ids.slice(0, maxLength), labels: example.labels.slice(0, maxLength) };
      // A prompt that fills the context leaves nothing to learn.
      return cut.labels.some((label) => label !== -100) ? [cut] : [];
    }
    throw new DataError(`${place} has ${length} ids, at most ${maxLength} were expected.`, {
      where: "encodeInstructions",
      hint: 'Pass overflow: "truncate" or "skip", or a larger maxLength.',
    });
  };
}

/** Options for the `flatMap` above: an identity for the fingerprint, and the schema of examples. */
export const instructionStep = (tokenizer: TextTokenizer, version: string | number = 1): MapOptions => ({
  name: `instructions ${tokenizer.hash ?? "unnamed tokenizer"}`,
  version,
  schema: {
    fields: [
      { name: "ids", type: "tokens" },
      { name: "labels", type: "list", items: "int32" },
    ],
  },
});

/** Ids of parts end to end. Each part is encoded by itself, so that what is learnt begins at a token's start. */
function encodeParts(parts: readonly TextPart[], tokenizer: TextTokenizer, endOfText?: number): InstructionExample {
  const ids: number[] = [];
  const labels: number[] = [];
  for (const { text, train } of parts) {
    const encoded = tokenizer.encode(text, { addSpecialTokens: false }).ids;
    for (let i = 0; i < encoded.length; i++) {
      ids.push(encoded[i]);
      labels.push(train ? encoded[i] : -100);
    }
  }
  if (endOfText !== undefined && labels.some((label) => label !== -100)) {
    ids.push(endOfText);
    labels.push(endOfText);
  }
  return { ids: Int32Array.from(ids), labels: Int32Array.from(labels) };
}

/** What a row of instruction data says, in parts that are read or learnt; `place` is what messages call the row. */
export function instructionParts(
  row: Row,
  { columns = {}, messages = "messages" }: InstructionOptions,
  place: string,
): TextPart[] {
  const { prompt = "instruction", input = "input", response = "output" } = columns;
  const chat = row[messages];
  // In a table of both forms the rows of one have null in the columns of the other.
  if (chat !== undefined && (chat !== null || (row[prompt] ?? null) === null)) return chatParts(chat, place);
  const [question, answer] = [row[prompt], row[response]];
  for (const [column, value] of [
    [prompt, question],
    [response, answer],
  ]) {
    if (typeof value === "string") continue;
    throw new DataError(`${place}: needs a text in the column "${column}", got ${showValue(value)}.`, {
      where: "encodeInstructions",
      hint: "Name the columns with the option columns, or pass format.",
    });
  }
  const more = typeof row[input] === "string" && row[input] !== "" ? `\n\n${row[input]}` : "";
  return [
    { text: `Instruction:\n${question}${more}\n\nResponse:\n`, train: false },
    { text: answer as string, train: true },
  ];
}

/** ChatML: every message between markers; what the assistant says is learnt, with the marker that ends it. */
function chatParts(chat: unknown, place: string): TextPart[] {
  if (!Array.isArray(chat) || chat.length === 0) {
    throw new DataError(`${place}: needs a list of messages, got ${showValue(chat)}.`, {
      where: "encodeInstructions",
    });
  }
  return chat.flatMap((message: ChatMessage, i) => {
    if (typeof message?.role !== "string" || typeof message.content !== "string") {
      throw new DataError(`${place}, message ${i + 1}: needs { role, content }, got ${showValue(message)}.`, {
        where: "encodeInstructions",
      });
    }
    const train = message.role === "assistant";
    return [
      { text: `<|im_start|>${message.role}\n`, train: false },
      { text: `${message.content}<|im_end|>\n`, train },
    ];
  });
}
