/** What people type for a run: its ID, the start of one, or the path of its folder. */

import { existsSync, statSync } from "node:fs";
import { basename, dirname, relative } from "node:path";
import type { CommandIo } from "./io.js";

/** What commands about runs are told. */
export interface Place {
  readonly io: CommandIo;
  /** The folder of the runs. */
  readonly dir: string;
  readonly json: boolean;
}

export const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();

/** A run's name and store: a path names both. */
export function locate(name: string, dir: string): [name: string, store: string] {
  const path = name.replace(/[/\\]+$/, "");
  return /[/\\]/.test(path) || isFolder(path) ? [basename(path), dirname(path)] : [name, dir];
}

/** A path as one would type it here. */
export function shortPath(path: string): string {
  const here = relative(process.cwd(), path);
  return here === "" || here.startsWith("..") ? path : here;
}

/** A word as a shell takes it. */
export const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
