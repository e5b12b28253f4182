/** Runs on the file system: whole files appear by write, fsync and rename; names and links cannot leave the root. */
import * as fs from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join, resolve, sep } from "node:path";
import { threadId } from "node:worker_threads";
import { isBytes } from "../core/bytes.js";
import { RunError } from "../core/errors.js";
import { checkPath, lockedBy, missingFile, type RunStore, type StoreEntry, tooShort } from "../core/store.js";
import { readInto } from "./read.js";

const REASONS: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  EISDIR: "is a folder",
  EEXIST: "a file is where a folder is needed",
  ENOTDIR: "a part of the path is a file",
  EMFILE: "too many files are open",
};

const codeOf = (cause: unknown): string | undefined => (cause as NodeJS.ErrnoException).code;
const held = new Set<string>();
let temporaries = 0;

const TAKING_OVER = ".taking-over.tmp";
/** What `besides` gives, and a lock on a lock; nothing that a user would. */
const TEMPORARY = /\.(\d+-\d+-\d+|taking-over)\.tmp$/;

/** A name beside `file` that no other process or thread uses. */
const besides = (file: string): string => `${file}.${process.pid}-${threadId}-${temporaries++}.tmp`;

/** When this process began, in milliseconds of the monotonic clock: with its number it tells it from earlier ones. */
const processStart = (): number => Math.round(Number(process.hrtime.bigint()) / 1e6 - process.uptime() * 1000);

export class FileStore implements RunStore {
  /** The root folder; it is made at the first write. */
  readonly name: string;

  constructor(root: string) {
    this.name = resolve(root);
  }

  async size(path: string): Promise<number | undefined> {
    return this.attempt(path, async (file) => {
      const info = await fs.stat(file).catch((cause) => {
        if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return undefined;
        throw cause;
      });
      return info?.isFile() ? info.size : undefined;
    });
  }

  async read(path: string, start = 0, end?: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.attempt(path, async (file) => {
      const handle = await fs.open(file, "r");
      try {
        const { size } = await handle.stat();
        const bytes = new Uint8Array(Math.max(0, Math.min(end ?? size, size) - start));
        const found = await readInto(handle, bytes, start);
        if (found < bytes.length) throw tooShort(this.name, path, start + bytes.length, start + found);
        return bytes;
      } finally {
        await handle.close();
      }
    });
  }

  async write(path: string, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    await this.attempt(path, async (file) => {
      await makeFolder(dirname(file));
      const temporary = besides(file);
      try {
        const handle = await fs.open(temporary, "wx");
        try {
          if (isBytes(bytes)) await handle.writeFile(bytes);
          else for await (const chunk of bytes) await handle.writeFile(chunk);
          await handle.sync();
        } finally {
          await handle.close();
        }
        await fs.rename(temporary, file);
        await syncFolder(dirname(file));
      } catch (cause) {
        await fs.rm(temporary, { force: true });
        throw cause;
      }
    });
  }

  async append(path: string, bytes: Uint8Array): Promise<void> {
    await this.attempt(path, async (file) => {
      await makeFolder(dirname(file));
      const handle = await fs.open(file, "a");
      try {
        await handle.writeFile(bytes);
        await handle.datasync();
      } finally {
        await handle.close();
      }
    });
  }

  async truncate(path: string, length: number): Promise<void> {
    await this.attempt(path, async (file) => {
      const handle = await fs.open(file, "r+");
      try {
        const { size } = await handle.stat();
        if (size < length) throw tooShort(this.name, path, length, size);
        await handle.truncate(length);
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
  }

  async list(folder: string): Promise<StoreEntry[]> {
    return this.attempt(folder, async (file) => {
      const entries = await fs.readdir(file, { withFileTypes: true }).catch((cause) => {
        if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return [];
        throw cause;
      });
      return entries
        .filter((entry) => !TEMPORARY.test(entry.name))
        .map((entry) => ({ name: entry.name, kind: entry.isDirectory() ? ("folder" as const) : ("file" as const) }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  async remove(path: string): Promise<void> {
    if (checkPath(path).length === 0) throw new RunError(`${this.name}: the root of a store is not removed.`);
    await this.attempt(path, (file) => fs.rm(file, { recursive: true, force: true }));
  }

  async claim(folder: string): Promise<boolean> {
    return this.attempt(folder, async (file) => {
      await makeFolder(dirname(file));
      try {
        await fs.mkdir(file);
        return true;
      } catch (cause) {
        if (codeOf(cause) === "EEXIST") return false;
        throw cause;
      }
    });
  }

  localPath(path: string): string {
    return join(this.name, ...checkPath(path, this.name));
  }

  /** The lock is a file that names its process; one left by a dead process of this machine is taken over. */
  async lock(path: string): Promise<() => Promise<void>> {
    return this.attempt(path, async (file) => {
      await makeFolder(dirname(file));
      const text = lockText();
      for (let attempt = 0; attempt < 10; attempt++) {
        if (await takeLock(file, text)) {
          held.add(file);
          let ours = true;
          return async () => {
            if (!ours) return;
            ours = false;
            held.delete(file);
            // It may be another's by now: of someone who was told to remove it.
            if ((await fs.readFile(file, "utf8").catch(() => undefined)) === text) await fs.rm(file, { force: true });
          };
        }
        const found = await fs.readFile(file, "utf8").catch(() => "");
        // Where there are no links, a lock has its name a moment before its content.
        if (found === "" && attempt < 4) {
          await pause(50);
          continue;
        }
        const owner = liveOwner(file, found);
        if (owner !== undefined) {
          throw lockedBy(this.name, path, owner, `If that process has ended, remove ${file}.`);
        }
        if (!(await removeDead(file, found, text))) await pause(20);
      }
      throw new RunError(`${this.name}/${path}: several processes want this lock at once.`, { where: path, path });
    });
  }

  /** Runs `action` on the real path; system errors become RunErrors that name the file and the reason. */
  private async attempt<T>(path: string, action: (file: string) => Promise<T>): Promise<T> {
    const parts = checkPath(path, this.name);
    try {
      await this.refuseLinksOut(parts, path);
      return await action(join(this.name, ...parts));
    } catch (cause) {
      const code = codeOf(cause);
      if (typeof code !== "string" || !(cause as NodeJS.ErrnoException).syscall) throw cause;
      if (code === "ENOENT") throw missingFile(this.name, path);
      throw new RunError(`${join(this.name, ...parts)}: ${REASONS[code] ?? code}.`, { where: path, path, code, cause });
    }
  }

  /** A link in the tree may point inside the root, never outside. */
  private async refuseLinksOut(parts: readonly string[], path: string): Promise<void> {
    const root = await fs.realpath(this.name).catch(() => undefined);
    if (root === undefined) return;
    for (let depth = parts.length; depth > 0; depth--) {
      const at = join(this.name, ...parts.slice(0, depth));
      const real = await fs.realpath(at).catch(() => undefined);
      if (real === undefined) {
        // What is written to a link without a target appears where it points.
        const link = (await fs.lstat(at).catch(() => undefined))?.isSymbolicLink();
        if (link) throw new RunError(`${this.name}/${path}: a link leads nowhere.`, { where: path, path });
        continue;
      }
      if (real === root || real.startsWith(join(root, sep))) return;
      throw new RunError(`${this.name}/${path}: a link leads outside the store, to ${real}.`, { where: path, path });
    }
  }
}

const isFolder = async (path: string): Promise<boolean> =>
  (await fs.stat(path).catch(() => undefined))?.isDirectory() ?? false;

/** Makes a folder and those above it. (`recursive: true` never ends where a folder answers ENOENT, as those of /proc do.) */
async function makeFolder(folder: string): Promise<void> {
  if (await isFolder(folder)) return;
  if (dirname(folder) !== folder) await makeFolder(dirname(folder));
  await fs.mkdir(folder).catch(async (cause) => {
    if (await isFolder(folder)) return; // somebody else was faster
    if (codeOf(cause) !== "ENOENT") throw cause;
    throw new RunError(`${folder}: no folder can be made there.`, { where: folder, path: folder, cause });
  });
}

/** Makes a rename durable. Systems that cannot open folders (Windows) need no such call. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await fs.open(folder, "r").catch(() => undefined);
  try {
    await handle?.sync().catch(() => undefined);
  } finally {
    await handle?.close();
  }
}

const lockText = (): string => JSON.stringify({ host: hostname(), pid: process.pid, start: processStart() });

/** Makes the lock file appear with its content in one move; false when there is one. */
async function takeLock(file: string, text: string): Promise<boolean> {
  const temporary = besides(file);
  await fs.writeFile(temporary, text);
  try {
    await fs.link(temporary, file);
    return true;
  } catch (cause) {
    if (NO_LINKS.has(String(codeOf(cause)))) return await createNew(file, text);
    if (codeOf(cause) !== "EEXIST") throw cause;
    return false;
  } finally {
    await fs.rm(temporary, { force: true });
  }
}

/** What file systems without hard links (FAT, many shares) answer to `link`. */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

async function createNew(file: string, text: string): Promise<boolean> {
  try {
    await fs.writeFile(file, text, { flag: "wx" });
    return true;
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw cause;
    return false;
  }
}

/** Who holds the lock, in words, or undefined when its process is gone. */
function liveOwner(file: string, text: string): string | undefined {
  if (held.has(file)) return "another run in this process";
  let owner: { host?: unknown; pid?: unknown; start?: unknown };
  try {
    owner = JSON.parse(text);
  } catch {
    return undefined; // cut short when the machine went down
  }
  if (owner?.host !== hostname()) return `a process on ${String(owner?.host)}`;
  if (typeof owner.pid !== "number") return undefined;
  if (owner.pid === process.pid) {
    // Our own number: another thread of ours, or an earlier process that had the same one (as in containers).
    return Math.abs(Number(owner.start) - processStart()) < 100 ? "another thread of this process" : undefined;
  }
  try {
    process.kill(owner.pid, 0);
  } catch (cause) {
    if (codeOf(cause) === "ESRCH") return undefined;
  }
  return `process ${owner.pid}`;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Removes a dead lock. Several may have found it dead, and what a late one removed could be the fresh lock of another:
 * so only who holds a second lock removes, after looking once more. False where another one holds that.
 */
async function removeDead(file: string, dead: string, text: string): Promise<boolean> {
  const second = `${file}${TAKING_OVER}`;
  const read = (file: string) => fs.readFile(file, "utf8").catch(() => undefined);
  if (!(await takeLock(second, text))) {
    const other = await read(second);
    // It died within these lines.
    if (other !== undefined && liveOwner(second, other) === undefined) await fs.rm(second, { force: true });
    return false;
  }
  try {
    if ((await read(file)) === dead) await fs.rm(file, { force: true });
    return true;
  } finally {
    await fs.rm(second, { force: true });
  }
}
