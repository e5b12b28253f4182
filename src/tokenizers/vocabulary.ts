/** Tokens and their ids, both ways. */

import { FormatError } from "../core/errors.js";

/** Ids stay below this, so that they fit every typed array and every file format we write. */
const ID_LIMIT = 2 ** 31;

export class Vocabulary {
  private readonly ids: Map<string, number>;
  /** Tokens by id; a Map where ids leave large holes. */
  private readonly tokens: (string | undefined)[] | Map<number, string>;
  readonly size: number;
  /** The highest id plus one. */
  readonly bound: number;

  /** Throws FormatError for ids that are not integers in `[0, 2^31)` and for two tokens with one id. */
  constructor(entries: Map<string, number>, where: string) {
    let bound = 0;
    for (const [token, id] of entries) {
      if (!Number.isInteger(id) || id < 0 || id >= ID_LIMIT) {
        throw new FormatError(
          `${where}: ids are integers from 0 to 2^31 - 1, got ${id} for ${JSON.stringify(token)}.`,
          {
            where,
            token,
            id,
          },
        );
      }
      if (id >= bound) bound = id + 1;
    }
    this.ids = entries;
    this.size = entries.size;
    this.bound = bound;
    if (bound <= 4 * entries.size + 65536) {
      const tokens: (string | undefined)[] = new Array(bound).fill(undefined);
      for (const [token, id] of entries) {
        if (tokens[id] !== undefined) throw duplicate(where, id, tokens[id], token);
        tokens[id] = token;
      }
      this.tokens = tokens;
    } else {
      const tokens = new Map<number, string>();
      for (const [token, id] of entries) {
        const other = tokens.get(id);
        if (other !== undefined) throw duplicate(where, id, other, token);
        tokens.set(id, token);
      }
      this.tokens = tokens;
    }
  }

  /** Reads the `vocab` object of a model. */
  static fromObject(vocab: unknown, where: string): Vocabulary {
    if (vocab === null || typeof vocab !== "object" || Array.isArray(vocab)) {
      throw new FormatError(`${where}: needs an object of token: id, got ${describe(vocab)}.`, { where });
    }
    const entries = new Map<string, number>();
    for (const token of Object.keys(vocab)) entries.set(token, (vocab as Record<string, number>)[token]);
    return new Vocabulary(entries, where);
  }

  idOf(token: string): number | undefined {
    return this.ids.get(token);
  }

  tokenOf(id: number): string | undefined {
    return this.tokens instanceof Map ? this.tokens.get(id) : this.tokens[id];
  }

  entries(): Iterable<[string, number]> {
    return this.ids;
  }
}

const duplicate = (where: string, id: number, first: string, second: string) =>
  new FormatError(
    `${where}: needs one token for each id, got ${JSON.stringify(first)} and ${JSON.stringify(second)} for id ${id}.`,
    { where, id },
  );

/** What a JSON value is, for messages. */
export const describe = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : String(value);
