/** What `encode` returns: ids and everything that belongs to each id. */

/** One encoding as parallel lists, all of the length of `ids`. */
export interface Row {
  ids: number[];
  tokens: string[];
  offsets: [number, number][];
  typeIds: number[];
  attentionMask: number[];
  specialTokensMask: number[];
  wordIds: (number | null)[];
  sequenceIds: (number | null)[];
  /** What truncation cut off. Each part is made when it is asked for: of a pair of long texts there are very many. */
  overflow(): (() => Row)[];
}

const NOTHING = (): [] => [];

const COLUMNS = [
  "ids",
  "tokens",
  "offsets",
  "typeIds",
  "attentionMask",
  "specialTokensMask",
  "wordIds",
  "sequenceIds",
] as const;

export const emptyRow = (): Row => ({
  ids: [],
  tokens: [],
  offsets: [],
  typeIds: [],
  attentionMask: [],
  specialTokensMask: [],
  wordIds: [],
  sequenceIds: [],
  overflow: NOTHING,
});

/** `length` tokens that stand for no text: special ones (attention 1) or padding (attention 0). */
export function madeUpRow(ids: number[], tokens: string[], typeId: number, attention: 0 | 1): Row {
  const all = <T>(value: T): T[] => ids.map(() => value);
  return {
    ids,
    tokens,
    offsets: ids.map(() => [0, 0]),
    typeIds: all(typeId),
    attentionMask: all<number>(attention),
    specialTokensMask: all(1),
    wordIds: all(null),
    sequenceIds: all(null),
    overflow: NOTHING,
  };
}

/** Tokens `[start, end)` without the overflow. */
export function sliceRow(row: Row, start: number, end: number): Row {
  const out = emptyRow();
  for (const column of COLUMNS) (out[column] as unknown[]) = row[column].slice(start, end);
  return out;
}

/** Two rows one after the other; parts that overflow are combined each with each. */
export function joinRows(first: Row, second: Row): Row {
  const out = emptyRow();
  for (const column of COLUMNS) (out[column] as unknown[]) = [...first[column], ...second[column]];
  if (first.overflow === NOTHING && second.overflow === NOTHING) return out;
  out.overflow = () => {
    const others = second.overflow();
    const parts = first
      .overflow()
      .flatMap((part) => [() => joinRows(part(), second), ...others.map((other) => () => joinRows(part(), other()))]);
    const alone = { ...first, overflow: NOTHING };
    return parts.concat(others.map((other) => () => joinRows(alone, other())));
  };
  return out;
}

/** The same change to a row and to all that overflows of it. */
export function changeRow(row: Row, change: (row: Row) => Row): Row {
  const changed = change(row);
  if (row.overflow === NOTHING) return changed;
  return { ...changed, overflow: () => row.overflow().map((part) => () => changeRow(part(), change)) };
}

/** What the offsets count. */
export type OffsetUnit = "utf16" | "codepoint" | "byte";

/**
 * The result of `encode`. `ids` is there at once; the other lists are worked out when they are first asked for. All
 * have the length of `ids`.
 */
export class Encoding {
  readonly #rest: () => Row;
  #ids: number[] | undefined;
  #row: Row | undefined;
  #overflowing: Encoding[] | undefined;

  /** Without ids they are those of the row. */
  constructor(ids: number[] | undefined, rest: () => Row) {
    this.#ids = ids;
    this.#rest = rest;
  }

  get ids(): number[] {
    return (this.#ids ??= this.#full().ids);
  }

  #full(): Row {
    this.#row ??= this.#rest();
    return this.#row;
  }

  /** All lists as one record. */
  row(): Row {
    return this.#full();
  }

  get length(): number {
    return this.ids.length;
  }
  /** The tokens as the vocabulary spells them. */
  get tokens(): string[] {
    return this.#full().tokens;
  }
  /** Where each token came from: `[start, end)` in the original text; `[0, 0]` for tokens that were added. */
  get offsets(): [number, number][] {
    return this.#full().offsets;
  }
  /** 1 for tokens, 0 for padding. */
  get attentionMask(): number[] {
    return this.#full().attentionMask;
  }
  /** 0 for the first text, 1 for the second, or what the post-processor says. */
  get typeIds(): number[] {
    return this.#full().typeIds;
  }
  /** 1 for tokens that the post-processor or the padding added. */
  get specialTokensMask(): number[] {
    return this.#full().specialTokensMask;
  }
  /** The number of the piece of the pre-tokenizer that a token came from; null for tokens that were added. */
  get wordIds(): (number | null)[] {
    return this.#full().wordIds;
  }
  /** Which text a token came from: 0, 1, or null for tokens that were added. */
  get sequenceIds(): (number | null)[] {
    return this.#full().sequenceIds;
  }
  /** What truncation cut off, in further encodings; those of a pair are combined each with each. */
  get overflowing(): Encoding[] {
    return (this.#overflowing ??= this.#full()
      .overflow()
      .map((part) => new Encoding(undefined, part)));
  }

  /** All lists as a plain object. */
  toJSON(): Record<string, unknown> {
    const { ids, tokens, offsets, attentionMask, typeIds, specialTokensMask, wordIds, sequenceIds, overflowing } = this;
    return { ids, tokens, offsets, attentionMask, typeIds, specialTokensMask, wordIds, sequenceIds, overflowing };
  }
}
