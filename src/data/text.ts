/** Plain text: a row per line, or per document. */

import { ConfigError, DataError } from "../core/errors.js";
import { type DataSource, openBytes } from "./bytes.js";
import { trimEnds } from "./coerce.js";
import { AwaitableDataset, type OpeningDataset } from "./dataset.js";
import { decodeText, type TextOptions } from "./decode.js";
import { lines } from "./lines.js";
import { checkSourceOptions } from "./options.js";
import type { Row } from "./row.js";
import { hashOnce, type SourceOptions, valueStage } from "./source.js";

export interface TextSourceOptions extends SourceOptions, TextOptions {
  /** `line` (unless told): a row per line. `document`: a row per document. `whole`: the file is one row. */
  by?: "line" | "document" | "whole";
  /** What stands between documents; `<|endoftext|>` unless told. Line breaks around it belong to no document. */
  separator?: string;
  /** Keeps empty lines; false unless told. */
  keepEmpty?: boolean;
  /** Longest row in characters; 64 Mi unless told. */
  maxRowLength?: number;
}

/** Rows `{ text }` of a text file, streaming. Documents are cut at a separator, also one that two pieces share. */
export function fromText(source: DataSource, options: TextSourceOptions = {}): OpeningDataset {
  checkSourceOptions("fromText", options, {
    encoding: "text",
    by: ["line", "document", "whole"],
    separator: "text",
    keepEmpty: "flag",
    maxRowLength: "count",
  });
  const bytes = openBytes(source, options);
  const { name } = bytes;
  const { by = "line", separator = "<|endoftext|>", keepEmpty = false, maxRowLength = 1 << 26 } = options;
  if (separator === "")
    throw new ConfigError("fromText: separator needs a text, got an empty one.", { where: "fromText" });
  async function* rows(): AsyncGenerator<{ rows: Row[] }> {
    const pieces = decodeText(bytes.stream(), name, options);
    const texts =
      by === "line"
        ? lines(pieces, name, maxRowLength)
        : documents(pieces, by === "whole" ? null : separator, name, maxRowLength);
    for await (const part of texts) {
      const kept = keepEmpty ? part : part.filter((text) => text !== "");
      yield { rows: kept.map((text) => ({ text })) };
    }
  }
  const schema = options.schema ?? { fields: [{ name: "text", type: "string" as const, modality: "text" }] };
  const step = { text: { by, separator, keepEmpty, encoding: options.encoding ?? null } };
  const source_ = { name, step, rows, contentHash: hashOnce(bytes), repeatable: bytes.repeatable };
  return new AwaitableDataset(valueStage(source_, { ...options, schema }));
}

async function* documents(
  pieces: AsyncIterable<string>,
  separator: string | null,
  name: string,
  maxLength: number,
): AsyncGenerator<string[]> {
  const trim = (text: string) => (separator === null ? text : trimEnds(text, "\r\n"));
  /** The beginning of a document in the pieces that it came in: joined once, so that long ones cost no more than short ones. */
  let held: string[] = [];
  let length = 0;
  let tail = "";
  for await (const piece of pieces) {
    // A separator may have begun in the piece before.
    const text = tail + piece;
    const parts = separator === null ? [text] : text.split(separator);
    const last = parts.pop()!;
    const kept = separator === null ? 0 : Math.min(last.length, separator.length - 1);
    const rest = last.slice(0, last.length - kept);
    tail = last.slice(rest.length);
    if (parts.length > 0) {
      parts[0] = [...held, parts[0]].join("");
      held = [];
      length = 0;
      yield parts.map(trim);
    }
    held.push(rest);
    length += rest.length;
    if (length > maxLength) {
      throw new DataError(`${name}: a document is longer than ${maxLength} characters.`, {
        where: name,
        hint: "Pass a separator that occurs in the file, or a larger maxRowLength.",
      });
    }
  }
  const end = trim([...held, tail].join(""));
  if (end !== "") yield [end];
}
