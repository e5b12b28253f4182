/** Steps of a pipeline. Each keeps the order of its input, also when functions take their time. */

import { ConfigError } from "../core/errors.js";
import { Generator, randomUniform } from "../core/random.js";
import type { Schema } from "./schema.js";
import { chunksOf, type Pass, type RandomAccess, type Stage, skipping } from "./stage.js";
import { mapInWorkers } from "./worker-map.js";

/** Identity of a function for the fingerprint: code cannot be hashed, so its author vouches for it. */
export interface StepIdentity {
  /** Name of the step; without it the manifest says 'unverified step'. */
  name?: string;
  /** Version of the step; change it whenever the function changes what it gives. */
  version?: string | number;
}

export interface MapOptions extends StepIdentity {
  /** Calls of an asynchronous function that run at the same time; 1 unless told. The order stays that of the input. */
  concurrency?: number;
  /**
   * Worker threads to map in; none unless told. The function is sent as text: it must use nothing from outside itself, and
   * has no `uniform`. Results are the same for every number of workers. Rows asked for by number are mapped here.
   */
  workers?: number;
  /** Schema of what the function gives, for batches. */
  schema?: Schema;
  /** Seed of `context.uniform`; 0 unless told. */
  seed?: number;
}

/** What a mapping function is told besides the row. */
export interface MapContext {
  /** Number of the row in its input, from 0. */
  index: number;
  epoch: number;
  /** Random numbers in [0, 1), a function of (seed, epoch, index): for augmentation. */
  uniform(): number;
}

export type Mapper<T, U> = (row: T, context: MapContext) => U | Promise<U>;

type WorkerFunction<T, U> = (row: T, context: { index: number; epoch: number }) => U | Promise<U>;

const identity = ({ name, version }: StepIdentity) =>
  name === undefined ? "unverified step" : { name, version: version ?? null };

const positive = (value: number, what: string): number => {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new ConfigError(`${what} needs a positive integer, got ${value}.`, { where: what.split(":")[0] });
};

/** What most steps share: one parent, its schema, its preparation. */
function step<T, U>(parent: Stage<T>, own: Omit<Stage<U>, "parents" | "prepare" | "schema">): Stage<U> {
  return {
    ...own,
    parents: [parent],
    prepare: () => parent.prepare(),
    get schema() {
      return parent.schema;
    },
  };
}

export function mapStage<T, U>(parent: Stage<T>, fn: Mapper<T, U>, options: MapOptions = {}): Stage<U> {
  const concurrency = positive(options.concurrency ?? 1, "map: concurrency");
  const { workers = 0 } = options;
  if (!(Number.isSafeInteger(workers) && workers >= 0)) {
    throw new ConfigError(`map: workers needs an integer from 0, got ${workers}.`, { where: "map" });
  }
  const generator = new Generator(options.seed ?? 0);
  const call = (row: T, index: number, epoch: number) => fn(row, mapContext(generator, index, epoch));
  return {
    parents: [parent],
    prepare: () => parent.prepare(),
    schema: options.schema,
    step: { map: identity(options), ...(options.seed !== undefined && { seed: options.seed }) },
    async access(epoch) {
      const inner = await parent.access?.(epoch);
      if (!inner) return undefined;
      return {
        length: inner.length,
        at: (index) => {
          const row = inner.at(index);
          return row instanceof Promise ? row.then((value) => call(value, index, epoch)) : call(row, index, epoch);
        },
      };
    },
    async *open({ epoch, skip }: Pass) {
      if (workers > 0) {
        yield* mapInWorkers(parent.open({ epoch, skip }), fn as WorkerFunction<T, U>, {
          count: workers,
          first: skip,
          epoch,
        });
        return;
      }
      let index = skip;
      for await (const chunk of parent.open({ epoch, skip })) {
        const first = index;
        index += chunk.length;
        yield await mapInOrder(chunk, concurrency, (row, i) => call(row, first + i, epoch));
      }
    },
  };
}

function mapContext(generator: Generator, index: number, epoch: number): MapContext {
  let drawn = 0;
  return {
    index,
    epoch,
    uniform: () => {
      const at = generator.at(`map ${epoch}`, index % 4294967296);
      return randomUniform(at, ++drawn)[drawn - 1];
    },
  };
}

/** Maps a chunk with at most `concurrency` calls under way; results in order, the first error in order of time wins. */
async function mapInOrder<T, U>(
  chunk: T[],
  concurrency: number,
  fn: (row: T, index: number) => U | Promise<U>,
): Promise<U[]> {
  const out = new Array<U>(chunk.length);
  let next = 0;
  const worker = async () => {
    while (next < chunk.length) {
      const i = next++;
      const value = fn(chunk[i], i);
      out[i] = value instanceof Promise ? await value : value;
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, chunk.length) }, worker));
  return out;
}

export function filterStage<T>(
  parent: Stage<T>,
  test: (row: T, context: { index: number }) => boolean | Promise<boolean>,
  options: StepIdentity = {},
): Stage<T> {
  async function* open({ epoch, skip }: Pass): AsyncGenerator<T[]> {
    let index = 0;
    async function* kept() {
      for await (const chunk of parent.open({ epoch, skip: 0 })) {
        const out: T[] = [];
        for (const row of chunk) {
          const answer = test(row, { index: index++ });
          if (answer instanceof Promise ? await answer : answer) out.push(row);
        }
        if (out.length > 0) yield out;
      }
    }
    yield* skipping(kept(), skip);
  }
  return step(parent, { step: { filter: identity(options) }, open });
}

export function flatMapStage<T, U>(
  parent: Stage<T>,
  fn: (row: T, context: MapContext) => Iterable<U> | Promise<Iterable<U>>,
  options: MapOptions = {},
): Stage<U> {
  const inner = mapStage(parent, fn, options);
  return {
    parents: [parent],
    prepare: () => parent.prepare(),
    schema: options.schema,
    step: { flatMap: identity(options) },
    async *open({ epoch, skip }) {
      async function* flat() {
        for await (const chunk of inner.open({ epoch, skip: 0 })) yield chunk.flatMap((items) => [...items]);
      }
      yield* skipping(flat(), skip);
    },
  };
}

/** Items `[start, end)` of the parent's order. */
export function rangeStage<T>(parent: Stage<T>, start: number, end: number): Stage<T> {
  return step(parent, {
    step: { range: [start, Number.isFinite(end) ? end : null] },
    async access(epoch: number) {
      const inner = await parent.access?.(epoch);
      if (!inner) return undefined;
      const length = Math.max(0, Math.min(end, inner.length) - start);
      return { length, at: (index: number) => inner.at(start + index) };
    },
    async *open({ epoch, skip }: Pass) {
      let left = end - start - skip;
      if (left <= 0) return;
      for await (const chunk of parent.open({ epoch, skip: start + skip })) {
        yield chunk.length <= left ? chunk : chunk.slice(0, left);
        left -= chunk.length;
        if (left <= 0) return;
      }
    },
  });
}

/** All items of the first, then all of the second, … */
export function concatStage<T>(parents: readonly Stage<T>[]): Stage<T> {
  return {
    parents: parents,
    prepare: async () => void (await Promise.all(parents.map((parent) => parent.prepare()))),
    get schema() {
      return parents[0].schema;
    },
    step: "concat",
    async access(epoch) {
      const inner = await Promise.all(parents.map((parent) => parent.access?.(epoch)));
      if (inner.some((part) => part === undefined)) return undefined;
      return concatAccess(inner as RandomAccess<T>[]);
    },
    async *open({ epoch, skip }) {
      for (const parent of parents) {
        let count = 0;
        // The length of a part is known only by passing over it, unless it is reachable by number.
        const length = (await parent.access?.(epoch))?.length;
        if (length !== undefined && skip >= length) {
          skip -= length;
          continue;
        }
        const whole = length === undefined && skip > 0;
        for await (const chunk of parent.open({ epoch, skip: whole ? 0 : skip })) {
          const left = whole ? Math.max(0, skip - count) : 0;
          if (left < chunk.length) yield left > 0 ? chunk.slice(left) : chunk;
          count += chunk.length;
        }
        skip = whole ? Math.max(0, skip - count) : 0;
      }
    },
  };
}

function concatAccess<T>(parts: RandomAccess<T>[]): RandomAccess<T> {
  const starts: number[] = [];
  let length = 0;
  for (const part of parts) {
    starts.push(length);
    length += part.length;
  }
  return {
    length,
    at(index) {
      let k = parts.length - 1;
      while (starts[k] > index) k--;
      return parts[k].at(index - starts[k]);
    },
  };
}

/** One item of each in turn; those that have ended are passed over. */
export function interleaveStage<T>(parents: readonly Stage<T>[]): Stage<T> {
  const open = async function* ({ epoch, skip }: Pass): AsyncGenerator<T[]> {
    async function* inTurn() {
      let readers = parents.map((parent) => itemsOf(parent.open({ epoch, skip: 0 })));
      try {
        while (readers.length > 0) {
          const results = await Promise.all(readers.map((reader) => reader.next()));
          readers = readers.filter((_, k) => !results[k].done);
          const out = results.filter((result) => !result.done).map((result) => result.value as T);
          if (out.length > 0) yield out;
        }
      } finally {
        await Promise.all(readers.map((reader) => reader.return?.(undefined)));
      }
    }
    yield* skipping(inTurn(), skip);
  };
  return { ...concatStage(parents), access: undefined, step: "interleave", open };
}

/** Items one by one. */
export async function* itemsOf<T>(chunks: AsyncIterable<T[]>): AsyncGenerator<T> {
  for await (const chunk of chunks) yield* chunk;
}

/** `times` epochs of the parent in one. */
export function repeatStage<T>(parent: Stage<T>, times: number): Stage<T> {
  if (times !== Number.POSITIVE_INFINITY) positive(times, "repeat: times");
  return step(parent, {
    step: { repeat: Number.isFinite(times) ? times : "Infinity" },
    changesOrder: true,
    async *open({ epoch, skip }: Pass) {
      const first = Number.isFinite(times) ? epoch * times : epoch;
      for (let k = 0; k < times; k++) {
        const length = (await parent.access?.(first + k))?.length;
        if (length !== undefined && skip >= length && length > 0) {
          skip -= length;
          continue;
        }
        let count = 0;
        for await (const chunk of parent.open({ epoch: first + k, skip: 0 })) {
          const left = Math.max(0, skip - count);
          if (left < chunk.length) yield left > 0 ? chunk.slice(left) : chunk;
          count += chunk.length;
        }
        if (count === 0) return;
        skip = Math.max(0, skip - count);
      }
    },
  });
}

/** Keeps all items in memory after the first pass, and so makes them reachable by number. */
export function cacheStage<T>(parent: Stage<T>): Stage<T> {
  let kept: Promise<T[]> | undefined;
  const fill = () => {
    kept ??= (async () => {
      const items: T[] = [];
      for await (const chunk of parent.open({ epoch: 0, skip: 0 })) for (const item of chunk) items.push(item);
      return items;
    })();
    kept.catch(() => {
      kept = undefined;
    });
    return kept;
  };
  const access = async () => {
    const items = await fill();
    return { length: items.length, at: (index: number) => items[index] };
  };
  return step(parent, {
    step: "cache",
    access,
    async *open({ skip }: Pass) {
      yield* chunksOf(await access(), skip);
    },
  });
}

/** Lets the steps before run ahead by up to `count` arrays of items while the consumer works. */
export function prefetchStage<T>(parent: Stage<T>, count: number): Stage<T> {
  positive(count, "prefetch: count");
  return step(parent, {
    step: null,
    access: parent.access?.bind(parent),
    async *open(pass: Pass) {
      const reader = parent.open(pass)[Symbol.asyncIterator]();
      const queue: Promise<IteratorResult<T[]>>[] = [];
      const ask = () => {
        const promise = reader.next();
        promise.catch(() => {}); // reported when its turn comes
        queue.push(promise);
      };
      try {
        for (let i = 0; i < count; i++) ask();
        while (true) {
          const { done, value } = await queue.shift()!;
          if (done) return;
          ask();
          yield value;
        }
      } finally {
        await reader.return?.(undefined);
      }
    },
  });
}
