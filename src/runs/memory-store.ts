/** A store in memory: for tests, for pages that keep nothing, and as the plain meaning of `RunStore`. */

import { isBytes } from "../core/bytes.js";
import { RunError } from "../core/errors.js";
import { checkPath, lockedBy, missingFile, type RunStore, type StoreEntry, tooShort } from "../core/store.js";

/** A store of runs in memory. */
export class MemoryStore implements RunStore {
  readonly name: string;
  /** Buffers with room to grow, so that appending to a file does not copy it each time. */
  private readonly files = new Map<string, { readonly room: Uint8Array<ArrayBuffer>; readonly size: number }>();
  private readonly folders = new Set<string>([""]);
  private readonly locks = new Set<string>();

  constructor(name = "memory") {
    this.name = name;
  }

  async size(path: string): Promise<number | undefined> {
    return this.files.get(checkPath(path).join("/"))?.size;
  }

  async read(path: string, start = 0, end?: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.file(path).slice(start, end);
  }

  async write(path: string, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    checkPath(path);
    const chunks: Uint8Array[] = [];
    if (isBytes(bytes)) chunks.push(bytes);
    else for await (const chunk of bytes) chunks.push(new Uint8Array(chunk));
    this.put(path, chunks);
  }

  async append(path: string, bytes: Uint8Array): Promise<void> {
    checkPath(path);
    const old = this.files.get(path);
    if (!old) return this.put(path, [bytes]);
    const size = old.size + bytes.length;
    let { room } = old;
    if (size > room.length) {
      room = new Uint8Array(2 * size);
      room.set(old.room.subarray(0, old.size));
    }
    room.set(bytes, old.size);
    this.files.set(path, { room, size });
  }

  async truncate(path: string, length: number): Promise<void> {
    const bytes = this.file(path);
    if (bytes.length < length) throw tooShort(this.name, path, length, bytes.length);
    this.files.set(path, { room: bytes.slice(0, length), size: length });
  }

  async list(folder: string): Promise<StoreEntry[]> {
    const parent = checkPath(folder).join("/");
    const found = new Map<string, StoreEntry["kind"]>();
    for (const [paths, kind] of [
      [this.files.keys(), "file"],
      [this.folders, "folder"],
    ] as const) {
      for (const path of paths) {
        const cut = path.lastIndexOf("/");
        if (path !== "" && path.slice(0, Math.max(0, cut)) === parent) found.set(path.slice(cut + 1), kind);
      }
    }
    return [...found].map(([name, kind]) => ({ name, kind })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async remove(path: string): Promise<void> {
    checkPath(path);
    for (const paths of [this.files, this.folders]) {
      for (const key of paths.keys()) if (key === path || key.startsWith(`${path}/`)) paths.delete(key);
    }
  }

  async claim(folder: string): Promise<boolean> {
    checkPath(folder);
    if (this.folders.has(folder)) return false;
    this.makeFolders(folder);
    return true;
  }

  async lock(path: string): Promise<() => Promise<void>> {
    checkPath(path);
    if (this.locks.has(path)) {
      throw lockedBy(this.name, path, "another run in this process");
    }
    this.locks.add(path);
    let ours = true;
    return async () => {
      if (ours) this.locks.delete(path);
      ours = false;
    };
  }

  private file(path: string): Uint8Array<ArrayBuffer> {
    checkPath(path);
    const file = this.files.get(path);
    if (!file) throw missingFile(this.name, path);
    return file.room.subarray(0, file.size);
  }

  private put(path: string, chunks: readonly Uint8Array[]): void {
    if (this.folders.has(path)) throw new RunError(`${this.name}/${path}: is a folder.`, { where: path, path });
    const parts = path.split("/");
    this.makeFolders(parts.slice(0, -1).join("/"));
    const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    this.files.set(path, { room: bytes, size: bytes.length });
  }

  private makeFolders(path: string): void {
    for (let at = path; at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf("/")))) this.folders.add(at);
  }
}
