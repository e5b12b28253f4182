/** Functions over rows: map, filter, flatMap. Results keep the order of the input, also when functions take their time. */

import { ConfigError, DataError, show } from "../core/errors.js";
import { Generator, randomUniform } from "../core/random.js";
import { checkFunction, checkKinds } from "./options.js";
import { parseSchema, type Schema } from "./schema.js";
import { mappedAccess, type Pass, positive, type Stage, skipping, step } from "./stage.js";
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

export function mapStage<T, U>(parent: Stage<T>, fn: Mapper<T, U>, options: MapOptions = {}, where = "map"): Stage<U> {
  checkFunction(where, fn);
  checkKinds(where, options, {
    name: "text",
    version: "other",
    concurrency: "other",
    workers: "other",
    schema: "other",
    seed: "other",
  });
  const concurrency = positive(options.concurrency ?? 1, `${where}: concurrency`);
  const { workers = 0 } = options;
  if (!(Number.isSafeInteger(workers) && workers >= 0)) {
    throw new ConfigError(`${where}: workers needs an integer from 0, got ${workers}.`, { where });
  }
  const generator = new Generator(options.seed ?? 0);
  const call = (row: T, index: number, epoch: number) => fn(row, mapContext(generator, index, epoch));
  return {
    parents: [parent],
    prepare: () => parent.prepare(),
    schema: options.schema && parseSchema(options.schema),
    step: { map: identity(options), ...(options.seed !== undefined && { seed: options.seed }) },
    access: (epoch) => mappedAccess(parent, epoch, (row, index) => call(row, index, epoch)),
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
      const next = (row: T) => call(row, index++, epoch);
      const chunks = parent.open({ epoch, skip });
      yield* concurrency === 1 ? mapInTurn(chunks, next) : mapAtOnce(chunks, concurrency, next);
    },
  };
}

function mapContext(generator: Generator, index: number, epoch: number): MapContext {
  let numbers: Float32Array = new Float32Array(0);
  let drawn = 0;
  return {
    index,
    epoch,
    uniform: () => {
      // A call gives the same numbers again, then more.
      if (drawn === numbers.length)
        numbers = randomUniform(generator.at(`map ${epoch}`, index % 4294967296), 2 * drawn || 4);
      return numbers[drawn++];
    },
  };
}

/** Maps rows one after the other. */
async function* mapInTurn<T, U>(chunks: AsyncIterable<T[]>, fn: (row: T) => U | Promise<U>): AsyncGenerator<U[]> {
  for await (const chunk of chunks) {
    const out: U[] = [];
    for (const row of chunk) {
      const value = fn(row);
      out.push(value instanceof Promise ? await value : value);
    }
    yield out;
  }
}

/** A chunk whose rows are being mapped: `begun` calls have begun, `left` results are still to come. */
interface Mapped<T, U> {
  rows: T[];
  out: U[];
  begun: number;
  left: number;
  failure?: { error: unknown };
}

/**
 * Maps rows with at most `concurrency` calls under way, which may be of several chunks; results in order. The first
 * error in order of time of the first chunk with one is the pass's, and after an error no further calls begin.
 */
async function* mapAtOnce<T, U>(
  chunks: AsyncIterable<T[]>,
  concurrency: number,
  fn: (row: T) => U | Promise<U>,
): AsyncGenerator<U[]> {
  const reader = chunks[Symbol.asyncIterator]();
  /** Chunks that were read and not given. */
  const parts: Mapped<T, U>[] = [];
  let running = 0;
  let reading = false;
  let over = false;
  let wake = () => {};
  const fail = (part: Mapped<T, U>, error: unknown) => {
    part.failure ??= { error };
    over = true;
  };
  const call = async (part: Mapped<T, U>, place: number) => {
    running++;
    try {
      const value = fn(part.rows[place]);
      part.out[place] = value instanceof Promise ? await value : value;
      part.left--;
    } catch (error) {
      fail(part, error);
    }
    running--;
    wake();
  };
  const read = async () => {
    reading = true;
    const part: Mapped<T, U> = { rows: [], out: [], begun: 0, left: 0 };
    try {
      const { done, value } = await reader.next();
      if (done) over = true;
      else part.rows = value;
      part.left = part.rows.length;
    } catch (error) {
      fail(part, error);
    }
    parts.push(part);
    reading = false;
    wake();
  };
  try {
    while (true) {
      for (const part of parts) {
        while (running < concurrency && !parts.some(({ failure }) => failure) && part.begun < part.rows.length) {
          call(part, part.begun++);
        }
      }
      // Further chunks are read for calls that could run, and no more than these need.
      const ahead = parts.slice(1).reduce((rows, part) => rows + part.rows.length, 0);
      if (running < concurrency && ahead < concurrency && !over && !reading) read();
      const [first] = parts;
      if (first?.failure) throw first.failure.error;
      if (first?.left === 0) {
        parts.shift();
        if (first.out.length > 0) yield first.out;
      } else if (over && parts.length === 0) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    over = true;
    await reader.return?.();
  }
}

export function filterStage<T>(
  parent: Stage<T>,
  test: (row: T, context: { index: number }) => boolean | Promise<boolean>,
  options: StepIdentity = {},
): Stage<T> {
  checkFunction("filter", test);
  checkKinds("filter", options, { name: "text", version: "other" });
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

/** What a function of flatMap gave, as an array. */
function allOf<U>(items: Iterable<U>): U[] {
  if (typeof items === "object" && items !== null && Symbol.iterator in items) return [...items];
  throw new DataError(`flatMap: the function needs to give a list of rows, got ${show(items)}.`, { where: "flatMap" });
}

export function flatMapStage<T, U>(
  parent: Stage<T>,
  fn: (row: T, context: MapContext) => Iterable<U> | Promise<Iterable<U>>,
  options: MapOptions = {},
): Stage<U> {
  const inner = mapStage(parent, fn, options, "flatMap");
  return {
    parents: [parent],
    prepare: () => parent.prepare(),
    schema: inner.schema,
    step: { flatMap: identity(options), ...(options.seed !== undefined && { seed: options.seed }) },
    async *open({ epoch, skip }) {
      async function* flat() {
        for await (const chunk of inner.open({ epoch, skip: 0 })) yield chunk.flatMap(allOf);
      }
      yield* skipping(flat(), skip);
    },
  };
}
