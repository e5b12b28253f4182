/** Mapping in worker threads: chunks go out in turn and come back in their order, whatever the timing. */

import { AskedWorker } from "../core/asked-worker.js";
import { DataError } from "../core/errors.js";
import { platform, WorkerExit } from "../core/platform.js";
import { warnOnce } from "../core/warnings.js";

/** What the worker runs: it holds the function as text, so the function can use nothing from outside itself. */
const script = (fn: string): string => `
"use strict";
const page = typeof self !== "undefined" && typeof importScripts === "function";
const port = page ? self : require("node:worker_threads").parentPort;
const fn = (${fn});
const answer = async ({ rows, first, epoch }) => {
  try {
    const out = [];
    for (let i = 0; i < rows.length; i++) out.push(await fn(rows[i], { index: first + i, epoch }));
    port.postMessage({ out });
  } catch (error) {
    port.postMessage({ error: String(error && error.message || error) });
  }
};
if (page) port.onmessage = (event) => answer(event.data);
else port.on("message", answer);
`;

/** Named, so that messages and engines can tell it from the pool of the kernels. */
const WORKER_NAME = "tenon-map";

interface Answer<U> {
  out?: U[];
  error?: string;
}

/** Rows, and the number of the first of them. */
interface Question<T> {
  rows: T[];
  first: number;
  epoch: number;
}

/**
 * Maps chunks of rows by `fn` in `count` workers. Where workers are refused (a strict content security policy), it maps
 * in this thread, with a warning and the same results. Throws DataError naming the row where the function failed.
 */
export async function* mapInWorkers<T, U>(
  chunks: AsyncIterable<T[]>,
  fn: (row: T, context: { index: number; epoch: number }) => U | Promise<U>,
  { count, first, epoch }: { count: number; first: number; epoch: number },
): AsyncGenerator<U[]> {
  const mappers = startMappers<T, U>(fn.toString(), count);
  const here = async (rows: T[], start: number): Promise<U[]> => {
    const out: U[] = [];
    for (let i = 0; i < rows.length; i++) out.push(await fn(rows[i], { index: start + i, epoch }));
    return out;
  };
  const there = async (mapper: AskedWorker<Question<T>, Answer<U>>, rows: T[], start: number): Promise<U[]> => {
    const { out, error } = await mapper
      .ask(() => ({ rows, first: start, epoch }))
      .catch((cause: Error) => ({ out: undefined, error: cause }));
    if (out) return out;
    const last = start + rows.length - 1;
    if (error instanceof WorkerExit) {
      // Here the function would end everything.
      throw new DataError(`map: a worker ended with exit code ${error.code} on rows ${start} to ${last}.`, {
        where: "map",
        hint: "A function for workers must not call process.exit().",
      });
    }
    if (error instanceof Error) {
      warnOnce("map-workers-unavailable", `map: workers are refused, mapping in this thread: ${error.message}.`);
      return here(rows, start);
    }
    throw new DataError(`map: the function failed in a worker on rows ${start} to ${last}: ${error}.`, {
      where: "map",
      hint: "A function for workers must use nothing from outside itself.",
    });
  };
  const due: Promise<U[]>[] = [];
  let number = 0;
  let at = first;
  try {
    for await (const rows of chunks) {
      const mapper = mappers[number++ % mappers.length];
      const result = mapper ? there(mapper, rows, at) : here(rows, at);
      result.catch(() => {}); // reported when its turn comes
      due.push(result);
      at += rows.length;
      // One chunk under way and one waiting for each worker.
      if (due.length >= 2 * Math.max(1, mappers.length)) yield await due.shift()!;
    }
    while (due.length > 0) yield await due.shift()!;
  } finally {
    for (const mapper of mappers) mapper.end();
  }
}

function startMappers<T, U>(fn: string, count: number): AskedWorker<Question<T>, Answer<U>>[] {
  try {
    return Array.from({ length: count }, () => new AskedWorker(platform().spawn(script(fn), WORKER_NAME)));
  } catch (cause) {
    warnOnce(
      "map-workers-unavailable",
      `map: workers are refused, mapping in this thread: ${(cause as Error).message}.`,
    );
    return [];
  }
}
