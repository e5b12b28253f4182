/**
 * Runs in the browser's origin-private file system. Whole files are written through a swap file that replaces the old
 * one when it is closed; locks and claims are the origin's Web Locks, so that two tabs cannot hold the same.
 */

import { isBytes } from "../core/bytes.js";
import { RunError } from "../core/errors.js";
import { checkPath, lockedBy, missingFile, type RunStore, type StoreEntry, tooShort } from "../core/store.js";

/** Only in workers; quicker than a swap file for appending. Not in every TypeScript library yet. */
interface SyncHandle {
  getSize(): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}
type FileHandle = FileSystemFileHandle & { createSyncAccessHandle?(): Promise<SyncHandle> };

/** The file system takes no views of shared memory. */
const unshared = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);

const isMissing = (cause: unknown): boolean =>
  cause instanceof DOMException && (cause.name === "NotFoundError" || cause.name === "TypeMismatchError");

/** A store of runs in the private file system of a web origin. */
export class OpfsStore implements RunStore {
  readonly name: string;
  private readonly root: readonly string[];

  /** @param folder a folder of the origin's private file system, made at the first write; "" is its root */
  constructor(folder = "runs") {
    this.root = checkPath(folder.replace(/^\.?\/+|\/+$/g, ""), "OpfsStore");
    this.name = `opfs:/${this.root.join("/")}`;
  }

  async size(path: string): Promise<number | undefined> {
    const handle = await this.file(path);
    return handle && (await handle.getFile()).size;
  }

  async read(path: string, start = 0, end?: number): Promise<Uint8Array<ArrayBuffer>> {
    const handle = await this.file(path);
    if (!handle) throw missingFile(this.name, path);
    return new Uint8Array(await (await handle.getFile()).slice(start, end).arrayBuffer());
  }

  async write(path: string, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    await this.attempt(path, async () => {
      const writable = await (await this.makeFile(path)).createWritable();
      try {
        if (isBytes(bytes)) await writable.write(unshared(bytes));
        else for await (const chunk of bytes) await writable.write(unshared(chunk));
        await writable.close();
      } catch (cause) {
        await writable.abort().catch(() => undefined);
        throw cause;
      }
    });
  }

  async append(path: string, bytes: Uint8Array): Promise<void> {
    await this.attempt(path, async () => {
      const handle = await this.makeFile(path);
      if (handle.createSyncAccessHandle) {
        const access = await handle.createSyncAccessHandle();
        try {
          access.write(unshared(bytes), { at: access.getSize() });
          access.flush();
        } finally {
          access.close();
        }
        return;
      }
      const { size } = await handle.getFile();
      const writable = await handle.createWritable({ keepExistingData: true });
      await writable.write({ type: "write", position: size, data: unshared(bytes) });
      await writable.close();
    });
  }

  async truncate(path: string, length: number): Promise<void> {
    const handle = await this.file(path);
    if (!handle) throw missingFile(this.name, path);
    const { size } = await handle.getFile();
    if (size < length) throw tooShort(this.name, path, length, size);
    await this.attempt(path, async () => {
      const writable = await handle.createWritable({ keepExistingData: true });
      await writable.truncate(length);
      await writable.close();
    });
  }

  async list(folder: string): Promise<StoreEntry[]> {
    const directory = await this.folder(checkPath(folder), false);
    const entries: StoreEntry[] = [];
    if (directory) {
      const handles = (directory as unknown as { values(): AsyncIterable<FileSystemHandle> }).values();
      for await (const { name, kind } of handles) {
        // Browsers keep the swap file of an unfinished write beside its file.
        if (name.endsWith(".crswap")) continue;
        entries.push({ name, kind: kind === "directory" ? "folder" : "file" });
      }
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async remove(path: string): Promise<void> {
    const parts = checkPath(path);
    if (parts.length === 0) throw new RunError(`${this.name}: the root of a store is not removed.`);
    const parent = await this.folder(parts.slice(0, -1), false);
    try {
      await parent?.removeEntry(parts[parts.length - 1], { recursive: true });
    } catch (cause) {
      if (!isMissing(cause)) throw cause;
    }
  }

  async claim(folder: string): Promise<boolean> {
    const parts = checkPath(folder);
    return navigator.locks.request(`tenon:${this.name}:claim`, async () => {
      if (await this.folder(parts, false)) return false;
      await this.folder(parts, true);
      return true;
    });
  }

  lock(path: string): Promise<() => Promise<void>> {
    checkPath(path);
    return new Promise((resolve, reject) => {
      const held = navigator.locks.request(`tenon:${this.name}/${path}`, { ifAvailable: true }, (lock) => {
        if (lock) {
          return new Promise<void>((release) => {
            resolve(async () => {
              release();
              await held;
            });
          });
        }
        reject(lockedBy(this.name, path, "another run of this site"));
      });
      held.catch(reject);
    });
  }

  private async file(path: string): Promise<FileHandle | undefined> {
    const parts = checkPath(path);
    const parent = await this.folder(parts.slice(0, -1), false);
    try {
      return await parent?.getFileHandle(parts[parts.length - 1]);
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw cause;
    }
  }

  private async makeFile(path: string): Promise<FileHandle> {
    const parts = checkPath(path);
    const parent = (await this.folder(parts.slice(0, -1), true)) as FileSystemDirectoryHandle;
    return parent.getFileHandle(parts[parts.length - 1], { create: true });
  }

  private async folder(parts: readonly string[], create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
    try {
      let at = await navigator.storage.getDirectory();
      for (const part of [...this.root, ...parts]) at = await at.getDirectoryHandle(part, { create });
      return at;
    } catch (cause) {
      if (!create && isMissing(cause)) return undefined;
      throw cause;
    }
  }

  private async attempt(path: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (cause) {
      if (!(cause instanceof DOMException)) throw cause;
      const full = cause.name === "QuotaExceededError";
      const why = full ? "the storage that the browser grants this site is full" : cause.message;
      throw new RunError(`${this.name}/${path}: ${why}.`, { where: path, path, cause });
    }
  }
}
