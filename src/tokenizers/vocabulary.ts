/** Tokens and their ids, both ways. */

import { FormatError, show } from "../core/errors.js";

/** Ids stay below this, so that they fit every typed array and every file format we write. */
const ID_LIMIT = 2 ** 31;

export interface Vocabulary {
  readonly size: number;
  /** The highest id plus one. */
  readonly bound: number;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  entries(): Iterable<[string, number]>;
}

/** The vocabulary of a parsed file. */
export class ObjectVocabulary implements Vocabulary {
  /** As parsed: a copy into a Map would cost more than all lookups. */
  private readonly ids: Record<string, number>;
  /** Tokens by id; a Map where ids leave large holes. */
  private readonly tokens: (string | undefined)[] | Map<number, string>;
  readonly size: number;
  readonly bound: number;

  /**
   * Reads the `vocab` object of a model, which must not change afterwards. Throws FormatError for ids that are not
   * integers in `[0, 2^31)` and for two tokens with one id.
   */
  constructor(vocab: unknown, where: string) {
    if (vocab === null || typeof vocab !== "object" || Array.isArray(vocab)) {
      throw new FormatError(`${where}: needs an object of token: id, got ${show(vocab)}.`, { where });
    }
    this.ids = vocab as Record<string, number>;
    const names = Object.keys(vocab);
    this.size = names.length;
    const tokens: (string | undefined)[] = new Array(names.length).fill(undefined);
    const far = new Map<number, string>();
    let bound = 0;
    for (const token of names) {
      const id = this.ids[token];
      if (!Number.isInteger(id) || id < 0 || id >= ID_LIMIT) {
        throw new FormatError(`${where}: ids are integers from 0 to 2^31 - 1, got ${show(id)} for ${show(token)}.`, {
          where,
          token,
          id,
        });
      }
      if (id >= bound) bound = id + 1;
      const other = id < tokens.length ? tokens[id] : far.get(id);
      if (other !== undefined) {
        throw new FormatError(
          `${where}: needs one token for each id, got ${show(other)} and ${show(token)} for id ${id}.`,
          { where, id },
        );
      }
      if (id < tokens.length) tokens[id] = token;
      else far.set(id, token);
    }
    this.bound = bound;
    this.tokens = tokens;
    if (far.size === 0) return;
    for (const [id, token] of tokens.entries()) if (token !== undefined) far.set(id, token);
    this.tokens = far;
  }

  idOf(token: string): number | undefined {
    const id = this.ids[token];
    // What every object has ("constructor", …) is no number.
    return typeof id === "number" ? id : undefined;
  }

  tokenOf(id: number): string | undefined {
    return this.tokens instanceof Map ? this.tokens.get(id) : this.tokens[id];
  }

  *entries(): Iterable<[string, number]> {
    for (const token of Object.keys(this.ids)) yield [token, this.ids[token]];
  }
}
