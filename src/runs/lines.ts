/** Files of JSON lines: a first line that says the format, then one record per line. */

import { checkStamp, type FormatName, stamp } from "../artifacts/format.js";
import { FormatError } from "../core/errors.js";
import { jsonLine, parseJson } from "../core/json.js";
import { type RunStore, readText } from "../core/store.js";

const utf8 = new TextEncoder();
/** Bytes that wait at most before they are written. */
const BUFFER = 64 * 1024;

/**
 * A line file that is written: records are buffered, `flush` makes them durable. `offset` is its length in bytes with
 * all that was written so far: what a checkpoint keeps, and what a resumed run cuts back to.
 */
export class LineFile {
  private waiting: string[] = [];
  private waitingBytes = 0;
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly store: RunStore,
    readonly path: string,
    private bytes: number,
  ) {}

  /**
   * Opens a file for writing: a new one starts with its stamp; with `cutTo` what follows that byte is dropped, without
   * it a last line that a kill cut short.
   */
  static async open(store: RunStore, path: string, format: FormatName, cutTo?: number): Promise<LineFile> {
    const size = cutTo === undefined ? await dropBrokenLine(store, path) : await store.size(path);
    if (cutTo !== undefined && size !== undefined && size > cutTo) await store.truncate(path, cutTo);
    if (cutTo !== undefined && (size ?? 0) < cutTo) {
      throw new FormatError(`${path}: at least ${cutTo} bytes expected by the checkpoint, got ${size ?? 0}.`, {
        where: path,
      });
    }
    const file = new LineFile(store, path, cutTo ?? size ?? 0);
    if (file.offset === 0) file.write(stamp(format));
    return file;
  }

  get offset(): number {
    return this.bytes + this.waitingBytes;
  }

  write(record: object): void {
    const line = `${jsonLine(record)}\n`;
    this.waiting.push(line);
    this.waitingBytes += utf8.encode(line).length;
  }

  /** True when enough waits that writing pays. */
  get full(): boolean {
    return this.waitingBytes >= BUFFER;
  }

  /** Writes what waits; durable when the promise resolves. */
  flush(): Promise<void> {
    if (this.waiting.length > 0) {
      const bytes = utf8.encode(this.waiting.join(""));
      this.waiting = [];
      this.waitingBytes = 0;
      this.bytes += bytes.length;
      this.writing = this.writing.then(() => this.store.append(this.path, bytes));
    }
    return this.writing;
  }
}

/** Cuts a file back to the end of its last whole line; returns its size then. */
async function dropBrokenLine(store: RunStore, path: string): Promise<number | undefined> {
  const size = await store.size(path);
  const newline = 10;
  if (!size || (await store.read(path, size - 1))[0] === newline) return size;
  const whole = (await store.read(path)).lastIndexOf(newline) + 1;
  await store.truncate(path, whole);
  return whole;
}

/**
 * The records of a line file, without its stamp; none for a file that is missing. A last line without its end (the run
 * was killed while it wrote) is left out; any other broken line is a FormatError naming file and line.
 */
export async function readLines(store: RunStore, path: string, format: FormatName): Promise<Record<string, unknown>[]> {
  if ((await store.size(path)) === undefined) return [];
  const lines = (await readText(store, path)).split("\n");
  lines.pop();
  return lines.flatMap((line, i) => {
    const where = `${path}, line ${i + 1}`;
    const record = parseJson(line, { where });
    if (i === 0) {
      checkStamp(record, format, where);
      return [];
    }
    if (typeof record === "object" && record !== null && !Array.isArray(record)) return [record as never];
    throw new FormatError(`${where}: an object expected, got ${line.slice(0, 40)}.`, { where });
  });
}
