/** Files of JSON lines: a first line that says the format, then one record per line. */

import { checkStamp, type FormatName, stamp } from "../artifacts/format.js";
import { FormatError, show } from "../core/errors.js";
import { jsonLine, parseJson } from "../core/json.js";
import { type RunStore, readText } from "../core/store.js";
import { type FilePlace, GrowingFile } from "./growing-file.js";

const utf8 = new TextEncoder();
/** A first line with the stamp and what later versions may say there. */
const LONGEST_STAMP = 4096;

/** A line file that is written. Its `offset` is what a checkpoint keeps, and what a resumed run cuts back to. */
export class LineFile extends GrowingFile {
  static async open(...where: Parameters<typeof placeOfLines>): Promise<LineFile> {
    return new LineFile(await placeOfLines(...where));
  }

  record(record: object): void {
    this.write(lineOf(record));
  }
}

const lineOf = (record: object): Uint8Array => utf8.encode(`${jsonLine(record)}\n`);

/**
 * Where a line file goes on: a new one starts with its stamp; with `cutTo` what follows that byte is dropped, without it a
 * last line that a kill cut short. A file that does not begin with that stamp is another's, and left alone: FormatError.
 */
export async function placeOfLines(
  store: RunStore,
  path: string,
  format: FormatName,
  cutTo?: number,
): Promise<FilePlace> {
  await checkStart(store, path, format);
  const found = (cutTo === undefined ? await dropBrokenLine(store, path) : await store.size(path)) ?? 0;
  if (cutTo !== undefined && found > cutTo) await store.truncate(path, cutTo);
  if (cutTo !== undefined && found < cutTo) {
    throw new FormatError(`${path}: at least ${cutTo} bytes expected by the checkpoint, got ${found}.`, {
      where: path,
    });
  }
  const size = cutTo ?? found;
  return { store, path, size, head: size === 0 ? lineOf(stamp(format)) : undefined };
}

/** Where a table of lines goes on that begins with the line `head`; a last line that a kill cut short is dropped. */
export async function placeOfTable(store: RunStore, path: string, head: string): Promise<FilePlace> {
  const line = `${head}\n`;
  const start = await startOf(store, path, line.length);
  if (start && !line.startsWith(start)) throw anothers(path, `a table ${head}`, `It begins with ${show(start)}.`);
  const size = (await dropBrokenLine(store, path)) ?? 0;
  return { store, path, size, head: size === 0 ? utf8.encode(line) : undefined };
}

/** Throws unless a file is new, or begins with the stamp of its format (or, after a kill, with a part of it). */
async function checkStart(store: RunStore, path: string, format: FormatName): Promise<void> {
  const start = await startOf(store, path, LONGEST_STAMP);
  if (!start) return;
  const end = start.indexOf("\n");
  if (end < 0 && `${jsonLine(stamp(format))}\n`.startsWith(start)) return;
  try {
    checkStamp(parseJson(end < 0 ? start : start.slice(0, end), { where: path }), format, path);
  } catch (cause) {
    throw anothers(path, `a file of ${format}`, (cause as Error).message, cause);
  }
}

/** Empty where there is no such file. */
async function startOf(store: RunStore, path: string, bytes: number): Promise<string> {
  const size = await store.size(path);
  return size ? new TextDecoder().decode(await store.read(path, 0, Math.min(size, bytes))) : "";
}

const anothers = (path: string, expected: string, why: string, cause?: unknown): FormatError =>
  new FormatError(`${path}: ${expected} to add to expected, got another, which is left as it is. ${why}`, {
    where: path,
    cause,
  });

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
