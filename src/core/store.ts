/**
 * Where runs and checkpoints live: one small interface over the file system, the browser's origin-private file system
 * and memory. Paths are relative, their parts divided by "/", and can never leave the store.
 */

import { ConfigError, FormatError, kindOf, RunError } from "./errors.js";
import { type ByteSource, platform } from "./platform.js";

export interface StoreEntry {
  readonly name: string;
  readonly kind: "file" | "folder";
}

/** A tree of files. Every method refuses an invalid path (`checkPath`) before it touches anything. */
export interface RunStore {
  /** For messages: the root folder, or "memory". */
  readonly name: string;
  /** Bytes in a file; undefined when there is no file of that name. */
  size(path: string): Promise<number | undefined>;
  /** Bytes `[start, end)` of a file, all of it unless told; a fresh array. A missing file is a RunError. */
  read(path: string, start?: number, end?: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Writes a whole file, making its folders: a crash at any moment leaves the old file or the new one. */
  write(path: string, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void>;
  /** Adds bytes at the end of a file, making it when missing; they are durable when the promise resolves. */
  append(path: string, bytes: Uint8Array): Promise<void>;
  /** Cuts a file back to `length` bytes; a shorter or missing file is a RunError. */
  truncate(path: string, length: number): Promise<void>;
  /** What a folder holds, by name; empty for a folder that is missing. */
  list(folder: string): Promise<StoreEntry[]>;
  /** Removes a file, or a folder with all in it; nothing happens when it is missing. */
  remove(path: string): Promise<void>;
  /** Makes a folder that must not exist yet; false when it did. Of two callers exactly one gets true. */
  claim(folder: string): Promise<boolean>;
  /** Where the host's file system has a file, of stores that lie in it. */
  localPath?(path: string): string;
  /** Takes the lock `path` or throws a RunError saying who holds it; the returned function gives it back. */
  lock(path: string): Promise<() => Promise<void>>;
}

const utf8 = new TextEncoder();
const RESERVED = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/** Why `name` cannot be the name of a file in a store, or undefined when it can. */
export function nameProblem(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name === "." || name === "..") return "leaves its folder";
  if (/[/\\]/.test(name)) return "holds a separator";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f<>:"|?*]/.test(name)) return "holds a character that not every file system takes";
  if (/^\s|[\s.]$/.test(name) || RESERVED.test(name)) return "is a name that not every file system takes";
  // Half of a character has no bytes of its own: two such names would be one file.
  if (/\p{Surrogate}/u.test(name)) return "holds half of a character";
  return utf8.encode(name).length > 200 ? "is longer than 200 bytes" : undefined;
}

/** Refuses a name (a run ID, a file) that holds separators or leaves its folder; returns it otherwise. */
export function checkName(name: string, where: string): string {
  const problem = typeof name === "string" ? nameProblem(name) : "is not a text";
  if (problem === undefined) return name;
  throw new RunError(`${where}: needs a plain name, got ${JSON.stringify(name)}, which ${problem}.`, { where, name });
}

/** The parts of a relative path, each one checked. The root itself is "". */
export function checkPath(path: string, where = "store"): string[] {
  if (path === "") return [];
  const parts = path.split("/");
  for (const part of parts) {
    const problem = nameProblem(part);
    if (problem === undefined) continue;
    throw new RunError(`${where}: needs a path inside the store, got ${JSON.stringify(path)}: "${part}" ${problem}.`, {
      where,
      path,
    });
  }
  return parts;
}

/** The error of reading or cutting a file that is not there. */
export const missingFile = (store: string, path: string): RunError =>
  new RunError(`${store}/${path}: no such file.`, { where: path, path });

/** The error of a lock that `owner` has. */
export const lockedBy = (store: string, path: string, owner: string, hint?: string): RunError =>
  new RunError(`${store}/${path}: is locked by ${owner}.`, { where: path, path, locked: true, hint });

/** The error of cutting a file to more bytes than it has. */
export const tooShort = (store: string, path: string, length: number, size: number): RunError =>
  new RunError(`${store}/${path}: at least ${length} bytes expected, got ${size}.`, { where: path, length, size });

/** A file of a store as a random-access source. */
export async function storeSource(store: RunStore, path: string): Promise<ByteSource> {
  const byteLength = await store.size(path);
  if (byteLength === undefined) throw missingFile(store.name, path);
  return { name: path, byteLength, read: (start, end) => store.read(path, start, end) };
}

/** A file of a store as UTF-8 text. */
export async function readText(store: RunStore, path: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await store.read(path));
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new FormatError(`${path}: UTF-8 text expected, got other bytes.`, { where: path, cause });
  }
}

/** Writes UTF-8 text. */
export const writeText = (store: RunStore, path: string, text: string): Promise<void> =>
  store.write(path, new TextEncoder().encode(text));

/** Where something is saved: a path, or a folder of a store (tenon/runs has stores for pages and for memory). */
export type SaveTarget = string | { store: RunStore; folder: string };

/** A target as a folder of a store. Throws ConfigError for a path where the host has no file system. */
export function openTarget(target: SaveTarget, where: string): { store: RunStore; folder: string } {
  if (typeof target === "object" && target?.store && typeof target.folder === "string") return target;
  const { openStore } = platform();
  if (typeof target !== "string" || !openStore) {
    const got = typeof target === "string" ? `"${target}" on a host that has none` : kindOf(target);
    throw new ConfigError(`${where}: needs a path in a file system, or { store, folder }, got ${got}.`, {
      where,
      hint: "Stores for pages and for memory are in tenon/runs.",
    });
  }
  return { store: openStore(target), folder: "" };
}
