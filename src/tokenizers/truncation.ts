/** Cutting encodings that are too long and filling up short ones. */

import { ConfigError } from "../core/errors.js";
import { checkCounts, checkOptions, checkWord, refuseOption } from "../core/options.js";
import type { Padding, Truncation } from "./definition.js";
import { changeRow, joinRows, madeUpRow, type Row, sliceRow } from "./encoding.js";

/** How `encode` cuts: a length, or a length and more. */
export interface TruncationOptions {
  maxLength: number;
  /** What to cut of a pair: the longest first (the default), only the first, only the second. */
  strategy?: "longestFirst" | "onlyFirst" | "onlySecond";
  /** Tokens that one part of the overflow repeats of the part before. */
  stride?: number;
  /** The end that is cut. */
  direction?: "right" | "left";
}

/** How `encode` fills up. */
export interface PaddingOptions {
  /** A length, or "longest": the longest of the batch (the default). */
  length?: number | "longest";
  multipleOf?: number;
  direction?: "right" | "left";
  id?: number;
  typeId?: number;
  token?: string;
}

/** Words of the file as ours; what is no text stays, to be refused. */
const lower = <T extends string>(name: unknown) =>
  (typeof name === "string" ? name.slice(0, 1).toLowerCase() + name.slice(1) : name) as T | undefined;

/** Padding may make encodings so long. */
const LONGEST = 1 << 24;

/** The settings in force, or undefined: `true` takes the file's. `added` tokens will be put around the texts. */
export function truncationOptions(
  option: boolean | number | TruncationOptions | undefined,
  file: Truncation | null | undefined,
  added: () => number,
): Required<TruncationOptions> | undefined {
  if (option === undefined || option === false) return undefined;
  let options: TruncationOptions;
  if (typeof option === "number") options = { maxLength: option };
  else if (option !== true) {
    checkOptions("encode: truncation", option, ["maxLength", "strategy", "stride", "direction"]);
    options = option;
  } else {
    if (!file)
      throw new ConfigError("encode: truncation: true needs settings in the tokenizer.json, got none.", {
        hint: "Give { maxLength }.",
      });
    options = {
      maxLength: file.max_length,
      stride: file.stride,
      strategy: lower(file.strategy),
      direction: lower(file.direction),
    };
  }
  const { maxLength, stride = 0, strategy = "longestFirst", direction = "right" } = options;
  checkCounts("encode: truncation", { maxLength, stride }, 0);
  checkWord("encode: truncation", "strategy", strategy, ["longestFirst", "onlyFirst", "onlySecond"]);
  checkWord("encode: truncation", "direction", direction, ["right", "left"]);
  return { maxLength: Math.max(0, maxLength - added()), stride, strategy, direction };
}

/** The settings in force, or undefined: `true` takes the file's, or pads to the longest with id 0. */
export function paddingOptions(
  option: boolean | PaddingOptions | undefined,
  file: Padding | null | undefined,
): Required<PaddingOptions> | undefined {
  if (option === undefined || option === false) return undefined;
  if (option !== true && (typeof option !== "object" || option === null)) {
    throw new ConfigError(`encode: padding needs true or { length, … }, got ${option}.`, {
      hint: "A fixed length is { length: 8 }.",
    });
  }
  const fixed = (file?.strategy as { Fixed?: number } | null | undefined)?.Fixed ?? "longest";
  const given = option === true ? {} : option;
  checkOptions("encode: padding", given, ["length", "multipleOf", "direction", "id", "typeId", "token"]);
  const options = {
    length: given.length ?? (option === true ? fixed : "longest"),
    multipleOf: given.multipleOf ?? (option === true ? (file?.pad_to_multiple_of ?? 0) : 0),
    direction: given.direction ?? lower<"right" | "left">(file?.direction) ?? "right",
    id: given.id ?? file?.pad_id ?? 0,
    typeId: given.typeId ?? file?.pad_type_id ?? 0,
    token: given.token ?? file?.pad_token ?? "[PAD]",
  };
  const { length, multipleOf, direction, id, typeId, token } = options;
  if (length !== "longest") checkCounts("encode: padding", { length }, 0);
  checkWord("encode: padding", "direction", direction, ["right", "left"]);
  checkCounts("encode: padding", { multipleOf, id, typeId }, 0);
  if (typeof token !== "string") refuseOption("encode: padding", "token", "a text", token);
  return options;
}

/** How many tokens stay of one text or of each of two, of so many, for them to hold `maxLength` together. */
function keptLengths(lengths: number[], options: Required<TruncationOptions>): number[] {
  const kept = divided(lengths, options);
  const { stride } = options;
  const short = kept.find((length, i) => length > 0 && length < lengths[i] && length <= stride);
  if (short === undefined) return kept;
  throw new ConfigError(`encode: truncation needs a stride below the ${short} tokens that remain, got ${stride}.`);
}

function divided(lengths: number[], { maxLength, strategy }: Required<TruncationOptions>): number[] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (total <= maxLength) return lengths;
  if (maxLength === 0) return lengths.map(() => 0);
  const [first, second] = lengths;
  if (strategy !== "longestFirst") {
    const target = strategy === "onlyFirst" ? 0 : 1;
    if (target >= lengths.length) {
      throw new ConfigError("encode: truncation onlySecond needs a second text, got one text.");
    }
    const excess = total - maxLength;
    if (lengths[target] <= excess) {
      throw new ConfigError(
        `encode: truncation ${strategy} needs a text of more than ${excess} tokens, got ${lengths[target]}.`,
      );
    }
    return lengths.map((length, i) => (i === target ? length - excess : length));
  }
  if (second === undefined) return [maxLength];
  const swap = first > second;
  let short = Math.min(first, second);
  let long = short > maxLength ? short : Math.max(short, maxLength - short);
  if (short + long > maxLength) {
    short = Math.floor(maxLength / 2);
    long = short + (maxLength % 2);
  }
  return swap ? [long, short] : [short, long];
}

/** The ids that stay of one text, or of two. */
export function cutIds(texts: number[][], options: Required<TruncationOptions>): number[][] {
  const kept = keptLengths(
    texts.map((ids) => ids.length),
    options,
  );
  return texts.map((ids, i) =>
    options.direction === "right" ? ids.slice(0, kept[i]) : ids.slice(ids.length - kept[i]),
  );
}

/** The rows that stay, with the parts that overflow. */
export function cutRows(rows: Row[], options: Required<TruncationOptions>): Row[] {
  const kept = keptLengths(
    rows.map((row) => row.ids.length),
    options,
  );
  return rows.map((row, i) => cutRow(row, kept[i], options));
}

function cutRow(row: Row, length: number, { stride, direction }: Required<TruncationOptions>): Row {
  const all = row.ids.length;
  if (length >= all) return row;
  if (length === 0) return { ...sliceRow(row, 0, 0), overflow: () => [() => row] };
  const part = (at: number): Row =>
    direction === "right"
      ? sliceRow(row, at, Math.min(at + length, all))
      : sliceRow(row, Math.max(0, all - at - length), all - at);
  const overflow = () => {
    const parts: (() => Row)[] = [];
    for (let at = length - stride; at + stride < all; at += length - stride) {
      const from = at;
      parts.push(() => part(from));
    }
    return parts;
  };
  return { ...part(0), overflow };
}

/** The length that rows are filled up to. */
export function paddedLength(lengths: number[], { length, multipleOf }: Required<PaddingOptions>): number {
  const wanted = length === "longest" ? lengths.reduce((a, b) => Math.max(a, b), 0) : length;
  const padded = multipleOf > 0 ? Math.ceil(wanted / multipleOf) * multipleOf : wanted;
  if (padded > LONGEST) refuseOption("encode: padding", "the length", `at most ${LONGEST} tokens`, padded);
  return padded;
}

/** Fills ids up to `length` tokens. */
export function padIds(ids: number[], length: number, { id, direction }: Required<PaddingOptions>): number[] {
  if (ids.length >= length) return ids;
  const filling = new Array<number>(length - ids.length).fill(id);
  return direction === "left" ? [...filling, ...ids] : [...ids, ...filling];
}

/** Fills a row and its overflow up to `length` tokens. */
export function padRow(row: Row, length: number, { id, token, typeId, direction }: Required<PaddingOptions>): Row {
  return changeRow(row, (part) => {
    const missing = length - part.ids.length;
    if (missing <= 0) return part;
    const filling = madeUpRow(new Array(missing).fill(id), new Array(missing).fill(token), typeId, 0);
    return direction === "left" ? joinRows(filling, part) : joinRows(part, filling);
  });
}
