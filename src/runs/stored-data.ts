/**
 * Data that can be read only once: they are kept in the store, under their hash, before anything else reads them. The
 * config then says `sha256:…` in their place, so that the run can be resumed and replayed.
 */

import { RunError } from "../core/errors.js";
import type { RunStore } from "../core/store.js";
import { iterate } from "../data/bytes.js";
import { blobPath, putBlob } from "./blobs.js";
import { DATA_KINDS, type DataConfig, type DataPlace } from "./data-config.js";

/** Bytes or text that pass by once. */
export type DataStream = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string>;

const KEYS = [...DATA_KINDS.filter((kind) => kind !== "corpus"), "labels"] as const;

/** Fields of `data` that name places; in code each may be a stream. */
export type DataInput = Omit<Partial<DataConfig>, (typeof KEYS)[number]> & {
  readonly [K in (typeof KEYS)[number]]?: DataPlace | DataStream | readonly (DataPlace | DataStream)[];
};

const STORED = /^sha256:([0-9a-f]{64})$/;
const utf8 = new TextEncoder();

const isStream = (value: unknown): value is DataStream =>
  typeof value === "object" &&
  value !== null &&
  (Symbol.asyncIterator in value || (typeof ReadableStream !== "undefined" && value instanceof ReadableStream));

async function* bytesOf(stream: DataStream): AsyncGenerator<Uint8Array> {
  for await (const piece of iterate<Uint8Array | string>(stream))
    yield typeof piece === "string" ? utf8.encode(piece) : piece;
}

/** Puts another value in the place of every place that `change` gives one for; fields that are no object stay. */
export async function mapPlaces(data: unknown, change: (place: unknown) => unknown): Promise<unknown> {
  if (typeof data !== "object" || data === null) return data;
  const fields: Record<string, unknown> = { ...data };
  for (const key of KEYS) {
    const given = fields[key];
    if (given === undefined) continue;
    if (!Array.isArray(given)) fields[key] = await change(given);
    else {
      fields[key] = [];
      for (const place of given) (fields[key] as unknown[]).push(await change(place));
    }
  }
  return fields;
}

/** A config with a name in the place of every stream, to be checked before any of them is read. */
export async function withoutStreams(config: unknown): Promise<unknown> {
  if (typeof config !== "object" || config === null || !("data" in config)) return config;
  return { ...config, data: await mapPlaces(config.data, (place) => (isStream(place) ? "stream" : place)) };
}

/** The `data` of a config without streams: their bytes are blobs of the store, named `sha256:…`. */
export const keepStreams = (data: unknown, store: RunStore): Promise<unknown> =>
  mapPlaces(data, async (place) => (isStream(place) ? `sha256:${await putBlob(store, bytesOf(place))}` : place));

/** Streams give their content once: of those that are given again to a run, what its store kept is read. */
export function notReadAgain(
  was: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const isKept = (place: unknown) => typeof place === "string" && STORED.test(place);
  const again = KEYS.filter((key) => [given[key]].flat().some(isStream) && [was[key]].flat().every(isKept));
  return { ...given, ...Object.fromEntries(again.map((key) => [key, was[key]])) };
}

/** The `data` of a config with readable places for what the store holds. Throws RunError for a hash that it does not. */
export const openStored = (data: unknown, store: RunStore): Promise<unknown> =>
  mapPlaces(data, async (place) => {
    const hash = typeof place === "string" ? STORED.exec(place)?.[1] : undefined;
    return hash === undefined ? place : storedPlace(hash, store);
  });

async function storedPlace(hash: string, store: RunStore): Promise<DataPlace> {
  const path = blobPath(hash);
  if ((await store.size(path)) === undefined) {
    throw new RunError(`${store.name}: holds no data with SHA-256 ${hash}.`, {
      where: store.name,
      hint: "Name a file with that content in place of its hash (--data FILE).",
    });
  }
  return store.localPath?.(path) ?? new File([await store.read(path)], `sha256:${hash}`);
}
