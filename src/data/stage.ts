/** The one interface that sources and steps of a pipeline share. */

import { ConfigError } from "../core/errors.js";
import type { Json } from "./batch-source.js";
import type { Schema } from "./schema.js";
import type { ReadReport } from "./violation.js";

/** Which rows of which epoch a pass is asked for. */
export interface Pass {
  /** Epoch, from 0; shuffles differ from epoch to epoch. */
  epoch: number;
  /** Leave out this many items from the start of the epoch's order. */
  skip: number;
}

/** Items by number, where a source has them all at hand. */
export interface RandomAccess<T> {
  readonly length: number;
  at(index: number): T | Promise<T>;
}

/** One step of a pipeline: a deterministic order of items for each epoch. */
export interface Stage<T = unknown> {
  /** One pass, in arrays of any length (the lengths mean nothing). Ending it early frees files and connections. */
  open(pass: Pass): AsyncIterable<T[]>;
  /** Items by number in the order of the epoch, where that is possible; undefined where it is not. */
  access?(epoch: number): Promise<RandomAccess<T> | undefined>;
  /** Sources: number of items, where it is known without a pass. */
  count?(): Promise<number>;
  /** Reads what must be known before the first pass, such as a header. */
  prepare(): Promise<void>;
  /** Schema of the items; undefined where a function made them. Valid after `prepare`. */
  readonly schema?: Schema;
  /** What this step does to the items, for the fingerprint and the manifest; null where it does nothing to them. */
  readonly step: Json;
  readonly parents: readonly Stage[];
  /** Sources: SHA-256 of their content. */
  contentHash?(): Promise<string>;
  /** Sources: counts of the latest pass. */
  readonly report?: ReadReport;
  /** Steps that leave rows out where none of their parts takes them: rows seen and left out in the latest pass. */
  readonly dropped?: { readonly rows: number; readonly dropped: number };
  /** True where the order of items changes with the epoch. */
  readonly changesOrder?: boolean;
}

/** The items of `parent` by number, each through `change`, where the parent has them by number. */
export async function mappedAccess<T, U>(
  parent: Stage<T>,
  epoch: number,
  change: (item: T, index: number) => U | Promise<U>,
): Promise<RandomAccess<U> | undefined> {
  const inner = await parent.access?.(epoch);
  if (!inner) return undefined;
  return {
    length: inner.length,
    at: (index) => {
      const item = inner.at(index);
      return item instanceof Promise ? item.then((value) => change(value, index)) : change(item, index);
    },
  };
}

/** Leaves out the first `skip` items. */
export async function* skipping<T>(chunks: AsyncIterable<T[]> | Iterable<T[]>, skip: number): AsyncGenerator<T[]> {
  for await (const chunk of chunks) {
    if (skip === 0) yield chunk;
    else if (skip >= chunk.length) skip -= chunk.length;
    else {
      yield chunk.slice(skip);
      skip = 0;
    }
  }
}

const CHUNK = 1024;

/** A pass over random access in the order that `place` gives. */
export async function* chunksOf<T>(
  access: RandomAccess<T>,
  skip: number,
  place: (position: number) => number = (position) => position,
): AsyncGenerator<T[]> {
  for (let start = skip; start < access.length; start += CHUNK) {
    const chunk: T[] = [];
    const end = Math.min(access.length, start + CHUNK);
    for (let position = start; position < end; position++) {
      const item = access.at(place(position));
      chunk.push(item instanceof Promise ? await item : item);
    }
    yield chunk;
  }
}

/** A count that a step was given. Throws ConfigError on anything but a positive integer. */
export const positive = (value: number, what: string): number => {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new ConfigError(`${what} needs a positive integer, got ${value}.`, { where: what.split(":")[0] });
};

/** A number of rows that a step was given. Throws ConfigError on anything but an integer from 0, or Infinity. */
export const natural = (value: number, what: string): number => {
  if (value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && value >= 0)) return value;
  throw new ConfigError(`${what} needs an integer from 0, got ${value}.`, { where: what.split(":")[0] });
};

/** What most steps share: one parent, its schema, its preparation. */
export function step<T, U>(parent: Stage<T>, own: Omit<Stage<U>, "parents" | "prepare" | "schema">): Stage<U> {
  return {
    ...own,
    parents: [parent],
    prepare: () => parent.prepare(),
    get schema() {
      return parent.schema;
    },
  };
}
