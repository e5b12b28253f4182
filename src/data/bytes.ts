/** Where bytes come from: a path, a URL, a Blob or File, a stream, or memory. One door for every file format. */

import { bytesOf } from "../core/bytes.js";
import { ConfigError, DataError } from "../core/errors.js";
import { type ByteSource, pathOfUrl, platform } from "../core/platform.js";
import { createHasher } from "../core/sha256.js";
import { gunzip } from "./gzip.js";
import { bodyOf, fetchStream, openUrl, requireOk } from "./http.js";
import { joinBytes } from "./join-bytes.js";
import { once } from "./once.js";

/**
 * What every `from…` function takes. A string is a URL when it starts with a scheme such as `https:`, content when it
 * holds a line break, otherwise a path (in a page, which has no paths, an address relative to the page). `{ text }`,
 * `{ path }` and `{ url }` say it outright; `name` is what messages call the source.
 */
export type DataSource =
  | string
  | URL
  | Blob
  | Response
  | ArrayBuffer
  | Uint8Array
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>
  | { text: string; name?: string }
  | { path: string }
  | { url: string | URL };

export interface BytesOptions {
  /** What messages call the source. */
  name?: string;
  /**
   * Most bytes that compressed data may expand to. A gzip file: unless told, 250 times its size, at least 64 MiB. A row
   * group of Parquet, with what decoding makes of it: unless told, 1100 times its size (beyond 2 GiB 16 times), at least
   * 256 MiB.
   */
  maxDecompressedBytes?: number;
  /** Stops reading. */
  signal?: AbortSignal;
}

/** Bytes that can be read: as a stream, gzip undone, and, where the source allows, by range. */
export interface Bytes {
  readonly name: string;
  /** One pass over the content, gzip undone. A source that is itself a stream allows one pass only. */
  stream(): AsyncIterable<Uint8Array>;
  /** Random access to the bytes as stored. */
  open(): Promise<ByteSource>;
  /** True where passes can be repeated. */
  readonly repeatable: boolean;
}

/** Opens a source without reading it yet. Throws ConfigError on what is no source. */
export function openBytes(source: DataSource, options: BytesOptions = {}): Bytes {
  const raw = rawBytes(source, options);
  return {
    ...raw,
    stream: () => {
      const stored = options.signal ? untilStopped(raw.stream(), raw.name, options.signal) : raw.stream();
      return gunzip(stored, raw.name, options.maxDecompressedBytes);
    },
  };
}

/** Throws DataError when reading was to stop. */
export function checkSignal(name: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new DataError(`${name}: reading was stopped.`, { where: name, cause: signal.reason });
}

async function* untilStopped(pieces: AsyncIterable<Uint8Array>, name: string, signal: AbortSignal) {
  for await (const piece of pieces) {
    checkSignal(name, signal);
    yield piece;
  }
  checkSignal(name, signal);
}

function rawBytes(source: DataSource, options: BytesOptions): Bytes {
  const named = (fallback: string) => options.name ?? fallback;
  if (typeof source === "string") {
    if (/^file:/i.test(source)) return rawBytes(new URL(source), options);
    if (/^(https?|blob|data):/i.test(source)) return urlBytes(source, named(source), options);
    if (/[\n\r]/.test(source)) return memoryBytes(new TextEncoder().encode(source), named("text"));
    const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(source)?.[1];
    if (scheme === undefined) return pathBytes(source, options);
    throw new ConfigError(
      `data source: needs an address that begins with https:, http:, file:, blob: or data:, got ${scheme}:.`,
      {
        where: "data source",
        hint: "Pass the https: address of the file, or its bytes.",
      },
    );
  }
  if (source instanceof URL) {
    if (source.protocol === "file:") return pathBytes(pathOfUrl(source), options);
    return urlBytes(source.href, named(source.href), options);
  }
  if (source instanceof Response) return responseBytes(source, options);
  if (source instanceof Blob) {
    return blobBytes(source, named((source as Partial<File>).name ?? "blob"));
  }
  const bytes = bytesOf(source);
  if (bytes) return memoryBytes(bytes, named("bytes"));
  if (source && typeof source === "object") {
    if ("text" in source && typeof source.text === "string") {
      return memoryBytes(new TextEncoder().encode(source.text), named(source.name ?? "text"));
    }
    if ("path" in source && typeof source.path === "string") return pathBytes(source.path, options);
    if ("url" in source) return urlBytes(String(source.url), named(String(source.url)), options);
    if ("getReader" in source || Symbol.asyncIterator in source) return streamBytes(source, named("stream"));
  }
  throw new ConfigError(
    `data source: needs a path, URL, Blob, Response, stream, bytes or text, got ${describe(source)}.`,
    {
      where: "data source",
    },
  );
}

/** Node's Buffer is a Uint8Array whose `slice` does not copy: the same bytes without that. */
const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const describe = (value: unknown): string =>
  value === null || typeof value !== "object" ? String(value) : value.constructor?.name || "an object";

const READ = 1 << 18;

/** A pass over random-access bytes in pieces of 256 KiB. */
export async function* sequentially(open: () => Promise<ByteSource>): AsyncGenerator<Uint8Array> {
  const file = await open();
  try {
    for (let at = 0; at < file.byteLength; at += READ) yield await file.read(at, Math.min(file.byteLength, at + READ));
  } finally {
    await file.close?.();
  }
}

function pathBytes(path: string, options: BytesOptions): Bytes {
  const name = options.name ?? path;
  const host = platform();
  if (!host.openFile) return urlBytes(path, name, options);
  const open = () => host.openFile!(path);
  return { name, open, stream: () => sequentially(open), repeatable: true };
}

function blobBytes(blob: Blob, name: string): Bytes {
  const open = async (): Promise<ByteSource> => ({
    name,
    byteLength: blob.size,
    read: async (start, end) => new Uint8Array(await blob.slice(start, end).arrayBuffer()),
  });
  return { name, open, stream: () => sequentially(open), repeatable: true };
}

function memoryBytes(bytes: Uint8Array, name: string): Bytes {
  return {
    name,
    repeatable: true,
    open: async () => ({ name, byteLength: bytes.length, bytes, read: async (start, end) => bytes.slice(start, end) }),
    async *stream() {
      for (let at = 0; at < bytes.length; at += READ) yield bytes.subarray(at, Math.min(bytes.length, at + READ));
    },
  };
}

function urlBytes(url: string, name: string, options: BytesOptions): Bytes {
  // Asked once: a server without range requests sends everything each time.
  const open = once(() => openUrl(url, name, options.signal));
  return {
    name,
    repeatable: true,
    open,
    stream: () => fetchStream(url, name, options.signal),
  };
}

/** What `fetch` gave: its body, read once. */
function responseBytes(response: Response, options: BytesOptions): Bytes {
  const name = options.name ?? (response.url || "response");
  async function* body() {
    requireOk(response, name);
    yield* bodyOf(response, name);
  }
  return streamBytes(body(), name);
}

function streamBytes(source: ReadableStream<Uint8Array> | AsyncIterable<Uint8Array | string>, name: string): Bytes {
  let used = false;
  const encoder = new TextEncoder();
  async function* stream() {
    if (used) {
      throw new DataError(`${name}: a stream can be read once, this is its second pass.`, {
        where: name,
        hint: "Call cache() on the dataset, or pass a path, URL or Blob.",
      });
    }
    used = true;
    /** The first half of a character (a surrogate) whose second half comes with the next text. */
    let half = "";
    for await (const piece of iterate(source)) {
      if (typeof piece !== "string") {
        yield plain(piece);
        continue;
      }
      const text = half + piece;
      half = /[\ud800-\udbff]$/.test(text) ? text.slice(-1) : "";
      yield encoder.encode(half ? text.slice(0, -1) : text);
    }
    if (half) yield encoder.encode(half);
  }
  const open = async (): Promise<ByteSource> => {
    const bytes = await readAll(stream(), name);
    return { name, byteLength: bytes.length, read: async (start, end) => bytes.slice(start, end) };
  };
  return { name, open, stream, repeatable: false };
}

/** A stream's pieces; Safari's ReadableStream is no async iterable. */
export async function* iterate<T>(stream: ReadableStream<T> | AsyncIterable<T>): AsyncGenerator<T> {
  if (Symbol.asyncIterator in stream) {
    yield* stream as AsyncIterable<T>;
    return;
  }
  const reader = (stream as ReadableStream<T>).getReader();
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value as T;
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** The whole content in one array. Throws DataError above `limit` bytes (2 GiB unless told). */
export async function readAll(stream: AsyncIterable<Uint8Array>, name: string, limit = 2 ** 31): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of stream) {
    length += piece.length;
    if (length > limit) {
      throw new DataError(`${name}: this format is read whole and may have ${limit} bytes, got more.`, { where: name });
    }
    pieces.push(piece);
  }
  return joinBytes(pieces);
}

/** SHA-256 of the content (gzip undone, so that a file and its compressed copy are one content), in one pass. */
export async function hashBytes(bytes: Bytes): Promise<string> {
  const hasher = createHasher();
  for await (const piece of bytes.stream()) hasher.update(piece);
  return hasher.digest();
}
