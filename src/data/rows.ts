/** Rows that are in memory already, or that a function of the user's makes. */

import { ConfigError, DataError, show } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import { createHasher } from "../core/sha256.js";
import { AwaitableDataset, Dataset, type OpeningDataset } from "./dataset.js";
import { inferRows, SAMPLE_ROWS } from "./infer.js";
import { once } from "./once.js";
import { checkSourceOptions } from "./options.js";
import { plainValue } from "./plain.js";
import type { Row } from "./row.js";
import { parseSchema } from "./schema.js";
import { isObject, type SourceOptions, valueStage } from "./source.js";
import { chunksOf } from "./stage.js";

/** Gives the rows from the first on: a generator function, or one that returns a list or another iterable of rows. */
export type RowOpener = () => Iterable<Row> | AsyncIterable<Row> | Promise<Iterable<Row> | AsyncIterable<Row>>;

/**
 * A dataset over an array of objects, reachable by number. With a schema every row is checked, on the first pass, and
 * the checked rows are kept. Rows and the lists in them are not copied: what is changed in them later changes the
 * dataset, but not a fingerprint that was taken before.
 *
 * Or over the rows that a function gives, streaming: it is called for every pass (an epoch, a schema that is to be
 * inferred, a fingerprint) and must give the same rows each time. A list or generator is read ahead by as many rows as
 * were read before, up to 256; an asynchronous one, such as one that waits for what happens, row by row.
 *
 * @example
 * const squares = fromRows(function* () {
 *   for (let x = 0; x < 1000; x++) yield { x, y: x * x };
 * });
 */
export function fromRows(rows: readonly Row[], options?: SourceOptions): Dataset;
export function fromRows(rows: RowOpener, options?: SourceOptions): OpeningDataset;
export function fromRows(rows: readonly Row[] | RowOpener, options: SourceOptions = {}): Dataset {
  checkSourceOptions("fromRows", options, {});
  const name = options.name ?? "rows";
  if (typeof rows === "function") return openedRows(rows, name, options);
  if (!Array.isArray(rows)) {
    const got = typeof Object(rows).next === "function" ? "a generator" : show(rows);
    throw new ConfigError(`fromRows: needs an array of rows, or a function that gives them, got ${got}.`, {
      where: "fromRows",
      hint: "What can be passed over only once goes into a function: fromRows(() => generate()), or fromRows([...rows]).",
    });
  }
  const schema = options.schema ? parseSchema(options.schema) : inferRows(rows.slice(0, SAMPLE_ROWS).filter(isObject));
  const checking = valueStage(
    {
      name,
      step: { rows: null },
      repeatable: true,
      contentHash: async () => hashRows([rows]),
      async *rows() {
        yield { rows };
      },
    },
    { ...options, schema },
  );
  const access = once(async () => {
    const kept: Row[] = [];
    for await (const chunk of checking.open({ epoch: 0, skip: 0 })) for (const row of chunk) kept.push(row);
    return { length: kept.length, at: (index: number) => kept[index] };
  });
  return new Dataset({
    parents: [],
    step: checking.step,
    schema,
    prepare: async () => {},
    get report() {
      return checking.report;
    },
    contentHash: () => checking.contentHash!(),
    access,
    async *open({ skip }) {
      yield* chunksOf(await access(), skip);
    },
  });
}

function openedRows(open: RowOpener, name: string, options: SourceOptions): OpeningDataset {
  const refuse = (what: string) =>
    new DataError(`${name}: the function needs to give all rows anew each time, got ${what}.`, {
      where: name,
      hint: "Pass a generator function, or one that makes a generator or a list of rows: fromRows(() => generate()).",
    });
  const begun = new WeakSet<object>();
  async function* chunks(): AsyncGenerator<Iterable<Row>> {
    const rows = await open();
    const iterable =
      typeof rows === "object" && rows !== null && (Symbol.asyncIterator in rows || Symbol.iterator in rows);
    if (!iterable) throw refuse(show(rows));
    if (begun.has(rows) && "next" in rows) throw refuse("a generator that was passed over before");
    begun.add(rows);
    if (Symbol.asyncIterator in rows) for await (const row of rows) yield [row];
    else yield* growing(rows);
  }
  async function* rows() {
    for await (const rows of chunks()) yield { rows };
  }
  const contentHash = once(() => hashRows(chunks()));
  return new AwaitableDataset(
    valueStage({ name, step: { rows: "opened" }, repeatable: true, contentHash, rows }, options),
  );
}

const MOST_AHEAD = 256;

/**
 * Rows that are there at once, in chunks, as a chunk costs as much as a hundred rows. The first is of one row and each as
 * long as all before it: of a generator that is slow, endless or has effects little more is asked than is used. Rows
 * are drawn as a chunk is passed over, one by one, so that a generator may give one object again and again.
 */
async function* growing(rows: Iterable<Row>): AsyncGenerator<Iterable<Row>> {
  const iterator = rows[Symbol.iterator]();
  let over = false;
  let promised: Row | PromiseLike<Row> | undefined;
  function* drawn(count: number): Generator<Row> {
    for (let k = 0; k < count; k++) {
      over = true; // also where `next` throws
      const { done, value } = iterator.next();
      if (done) return;
      over = false;
      if (typeof (value as Partial<PromiseLike<Row>> | null)?.then === "function") {
        promised = value;
        return;
      }
      yield value;
    }
  }
  try {
    for (let count = 1; !over; count = Math.min(2 * count, MOST_AHEAD)) {
      promised = undefined;
      yield drawn(count);
      if (promised) yield [await promised];
    }
  } finally {
    if (!over) iterator.return?.();
  }
}

const utf8 = new TextEncoder();

/** SHA-256 over the canonical JSON of each row, a line each; typed arrays as plain lists. */
async function hashRows(chunks: Iterable<Iterable<Row>> | AsyncIterable<Iterable<Row>>): Promise<string> {
  const hasher = createHasher();
  for await (const rows of chunks) {
    for (const row of rows) hasher.update(utf8.encode(`${canonicalJson(plainValue(row))}\n`));
  }
  return hasher.digest();
}
