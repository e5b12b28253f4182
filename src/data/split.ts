/** Parts of a dataset that never overlap and never change when rows are appended. */

import { ConfigError, DataError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { Generator, randomPermutation, randomUniform } from "../core/random.js";
import { sha256Hex } from "../core/sha256.js";
import type { Json } from "./batch-source.js";
import { checkKinds } from "./options.js";
import { plainValue } from "./plain.js";
import { type Ratios, ratioBounds, requireParts } from "./ratio.js";
import { chunksOf, type Pass, type RandomAccess, type Stage, skipping } from "./stage.js";
import { showValue } from "./violation.js";

export interface SplitOptions {
  /** Seed, an integer from 0 to 2^53 - 1; 0 unless told. */
  seed?: number;
  /** Keeps the ratios within each value of this column. */
  stratify?: string;
  /** Rows with equal values in this column stay together; the value's hash alone decides, wherever its rows stand. */
  group?: string;
}

/** Part number of one row; rows in no part (ratios below 1) have the number of parts. */
type Assign = (row: unknown, index: number) => number;

/**
 * Deals rows to parts in blocks: the smallest block in which every ratio is a whole number of rows (or else 1000, or
 * the first power of ten in which every part has a row) is permuted by the seed and cut by the ratios. So the counts
 * are exact block by block, a row's part depends on the seed and its number alone, and appended rows change nothing
 * before them.
 */
class Dealer {
  readonly block: number;
  private readonly uppers: number[];
  private readonly generator: Generator;
  /** The latest block of each stratum: rows of different strata come in any order. */
  private readonly cached = new Map<string, { block: number; places: Uint32Array }>();

  constructor(
    ratios: Ratios,
    private readonly seed: number,
  ) {
    const bounds = ratioBounds(ratios);
    this.uppers = bounds.map(({ upper }) => upper);
    this.block = blockSize(this.uppers);
    this.generator = new Generator(seed);
  }

  /** Part of row `index` within the stream of a stratum. */
  part(stream: string, index: number): number {
    const place = this.places(stream, Math.floor(index / this.block))[index % this.block];
    return this.uppers.findIndex((upper) => place < Math.round(upper * this.block)) >>> 0;
  }

  private places(stream: string, block: number): Uint32Array {
    let cached = this.cached.get(stream);
    if (cached?.block !== block) {
      cached = { block, places: randomPermutation(this.generator.at(stream, block), this.block) };
      if (this.cached.size * this.block > MOST_CACHED) this.cached.clear();
      this.cached.set(stream, cached);
    }
    return cached.places;
  }

  /** Part of a group by the hash of its value. */
  partOfGroup(value: unknown): number {
    const word = Number.parseInt(sha256Hex(keyOf(value)).slice(0, 13), 16);
    // A generator of its own: one remembers every stream that it was asked for, and there may be millions of groups.
    const call = new Generator(this.seed).at(`split group ${word}`, 0);
    const uniform = randomUniform(call, 1)[0];
    return this.uppers.findIndex((upper) => uniform < upper) >>> 0;
  }

  /** Rows of each of the first `parts` parts among the first `count`, and their numbers, without a list of them. */
  select(part: number, count: number): { length: number; place(index: number): number } {
    const perBlock = this.inBlock(part, 0, this.block).length;
    const wholeBlocks = Math.floor(count / this.block);
    const rest = this.inBlock(part, wholeBlocks, count % this.block);
    let cached = { block: -1, rows: [] as number[] };
    return {
      length: perBlock * wholeBlocks + rest.length,
      place: (index) => {
        const block = Math.min(perBlock === 0 ? wholeBlocks : Math.floor(index / perBlock), wholeBlocks);
        if (cached.block !== block) cached = { block, rows: this.inBlock(part, block, this.block) };
        return block * this.block + cached.rows[index - block * perBlock];
      },
    };
  }

  private inBlock(part: number, block: number, rows: number): number[] {
    const list: number[] = [];
    for (let i = 0; i < rows; i++) if (this.part("split", block * this.block + i) === part) list.push(i);
    return list;
  }
}

/** Numbers that are kept of blocks at hand. */
const MOST_CACHED = 1 << 22;
const LARGEST_BLOCK = 10 ** 7;

/** The smallest block from 1 to 999 in which every bound is whole; else 1000, or more where a part would have no row. */
function blockSize(uppers: readonly number[]): number {
  for (let size = 1; size < 1000; size++) {
    if (uppers.every((upper) => Math.abs(upper * size - Math.round(upper * size)) < 1e-9)) return size;
  }
  let size = 1000;
  const isEmpty = (upper: number, part: number) =>
    Math.round(upper * size) === Math.round((uppers[part - 1] ?? 0) * size);
  while (size < LARGEST_BLOCK && uppers.some(isEmpty)) size *= 10;
  return size;
}

/** What tells values of a column apart, on every machine: dates, lists and objects by what they hold. */
const keyOf = (value: unknown): string =>
  JSON.stringify([
    typeof value,
    typeof value === "object" && value !== null ? canonicalJson(plainValue(value)) : String(value),
  ]);

function columnOf(row: unknown, column: string): unknown {
  const value = (row as Record<string, unknown>)[column];
  if (value !== undefined) return value;
  throw new DataError(`split: a row has no column "${column}".`, { where: "split", hint: "Missing values are null." });
}

const USUAL = ["train", "val", "test"];

/** Which rows a part has depends on the parts before it, and canonical JSON knows no order: any but the usual one is told. */
const orderOf = (names: readonly string[]) =>
  names.join() === USUAL.filter((name) => names.includes(name)).join() ? {} : { order: names };

/** Stages of the parts, by name. */
export function splitStages<T>(parent: Stage<T>, ratios: Ratios, options: SplitOptions = {}): Record<string, Stage<T>> {
  checkKinds("split", options, { seed: "other", stratify: "text", group: "text" });
  const { seed = 0, stratify, group } = options;
  refuseShuffled(parent);
  if (stratify !== undefined && group !== undefined) {
    throw new ConfigError("split: takes stratify or group, got both.", { where: "split" });
  }
  const dealer = new Dealer(ratios, seed);
  const names = Object.keys(ratios);
  const assign = (): Assign => {
    if (group !== undefined) {
      const known = new Map<unknown, number>();
      return (row) => {
        const value = columnOf(row, group);
        let part = known.get(value);
        if (part === undefined) {
          part = dealer.partOfGroup(value);
          // A cache, not a list of all groups: it is dropped before it grows large.
          if (known.size > 100_000) known.clear();
          known.set(value, part);
        }
        return part;
      };
    }
    if (stratify === undefined) return (_, index) => dealer.part("split", index);
    const counts = new Map<string, number>();
    return (row) => {
      const key = keyOf(columnOf(row, stratify));
      const count = counts.get(key) ?? 0;
      counts.set(key, count + 1);
      return dealer.part(`split ${key}`, count);
    };
  };
  const byNumber = stratify === undefined && group === undefined;
  return Object.fromEntries(
    names.map((name, part) => {
      const by = { ...orderOf(names), ...(stratify && { stratify }), ...(group && { group }) };
      const step = { split: { ratios, seed, ...by }, part: name };
      const stage = partStage(parent, step as unknown as Json, assign, part);
      if (byNumber) {
        stage.access = async (epoch) => {
          const inner = await parent.access?.(epoch);
          if (!inner) return undefined;
          const { length, place } = dealer.select(part, inner.length);
          return { length, at: (index) => inner.at(place(index)) };
        };
      }
      return [name, stage];
    }),
  );
}

export interface SplitByOptions {
  /** What happens to rows whose value no part names: `error` (unless told) or `drop`, which counts them in the report. */
  others?: "error" | "drop";
}

/** Rows of a pass, and those that no part names. */
interface Tally {
  rows: number;
  dropped: number;
}

/** Parts by the values of a column: `{ train: "train", val: ["dev", "test"] }`. */
export function splitByColumn<T>(
  parent: Stage<T>,
  column: string,
  parts: Readonly<Record<string, unknown>>,
  options: SplitByOptions = {},
): Record<string, Stage<T>> {
  checkKinds("splitBy", options, { others: ["error", "drop"] });
  const { others = "error" } = options;
  requireParts("splitBy", parts, "values");
  refuseShuffled(parent);
  const partOf = new Map<unknown, number>();
  Object.values(parts).forEach((given, part) => {
    for (const value of Array.isArray(given) ? given : [given]) {
      if ((partOf.get(value) ?? part) !== part) {
        throw new ConfigError(`split: the value ${showValue(value)} of "${column}" is in two parts.`, {
          where: "split",
        });
      }
      partOf.set(value, part);
    }
  });
  const assign =
    (tally: Tally): Assign =>
    (row, index) => {
      const value = columnOf(row, column);
      const part = partOf.get(value);
      tally.rows++;
      if (part !== undefined) return part;
      tally.dropped++;
      if (others === "drop") return -1;
      throw new DataError(
        `splitBy: row ${index + 1} has ${showValue(value)} in the column "${column}", which no part names.`,
        {
          where: "splitBy",
          hint: `The parts name ${[...partOf.keys()].map(showValue).join(", ")}. Add the value to one, or pass { others: "drop" }.`,
          row: index + 1,
          column,
        },
      );
    };
  return Object.fromEntries(
    Object.keys(parts).map((name, part) => {
      let tally: Tally | undefined;
      const counting = () => assign((tally = { rows: 0, dropped: 0 }));
      const stage = partStage(
        parent,
        { splitBy: column, parts: plainValue(parts) as Json, part: name, others },
        counting,
        part,
      );
      if (others === "drop") Object.defineProperty(stage, "dropped", { get: () => tally, enumerable: true });
      return [name, stage];
    }),
  );
}

/** A row's part must not depend on the epoch, else training would see the validation rows. */
function refuseShuffled(stage: Stage): void {
  if (stage.changesOrder) {
    throw new ConfigError("split: the rows are shuffled anew every epoch, so parts would mix.", {
      where: "split",
      hint: "Split first, then shuffle the part for training.",
    });
  }
  for (const parent of stage.parents) refuseShuffled(parent);
}

type MutableStage<T> = { -readonly [K in keyof Stage<T>]: Stage<T>[K] };

function partStage<T>(parent: Stage<T>, step: Json, makeAssign: () => Assign, part: number): MutableStage<T> {
  const stage: MutableStage<T> = {
    parents: [parent],
    step,
    prepare: () => parent.prepare(),
    async access(epoch) {
      const inner = await parent.access?.(epoch);
      if (!inner) return undefined;
      const places = await placesOf(inner, makeAssign(), part);
      return { length: places.length, at: (index) => inner.at(places[index]) };
    },
    async *open({ epoch, skip }: Pass) {
      const access = await stage.access!(epoch);
      if (access) {
        yield* chunksOf(access, skip);
        return;
      }
      const assign = makeAssign();
      yield* skipping(select(parent.open({ epoch, skip: 0 }), assign, part), skip);
    },
  };
  Object.defineProperty(stage, "schema", { get: () => parent.schema, enumerable: true });
  return stage;
}

async function* select<T>(chunks: AsyncIterable<T[]>, assign: Assign, part: number): AsyncGenerator<T[]> {
  let index = 0;
  for await (const chunk of chunks) {
    const kept = chunk.filter((row) => assign(row, index++) === part);
    if (kept.length > 0) yield kept;
  }
}

async function placesOf<T>(inner: RandomAccess<T>, assign: Assign, part: number): Promise<Uint32Array> {
  const places: number[] = [];
  for (let index = 0; index < inner.length; index++) {
    const item = inner.at(index);
    if (assign(item instanceof Promise ? await item : item, index) === part) places.push(index);
  }
  return Uint32Array.from(places);
}
