/** What people type for a run: its ID, the start of one, or the path of its folder. */

import { existsSync, statSync } from "node:fs";
import { basename, dirname, relative, resolve } from "node:path";
import { ConfigError } from "../core/errors.js";
import type { CommandIo } from "./io.js";

/** What commands about runs are told. */
export interface Place {
  readonly io: CommandIo;
  /** The folder of the runs, where it is given. */
  readonly dir?: string;
  readonly json: boolean;
}

/** The folder of the runs where none is given. */
export const RUNS = "runs";

export const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();

/** Is it a path, and not the ID of a run? A word alone is one where there is such a folder and no other is given. */
export const isPath = (name: string, dir?: string): boolean =>
  /[/\\]|^\.{1,2}$/.test(name) || (dir === undefined && isFolder(name));

/** A run's name and store: a path names both; an ID is sought in `dir`. */
export function locate(name: string, dir?: string): [name: string, store: string] {
  if (!isPath(name, dir)) return [name, dir ?? RUNS];
  const path = resolve(name);
  return [basename(path), dirname(path)];
}

/** Refuses a file in the place of the folder of the runs: it would look like one without runs. */
export function checkPlace(dir: string | undefined): void {
  if (dir === undefined || !existsSync(dir) || isFolder(dir)) return;
  throw new ConfigError(`${dir}: is a file, the folder of the runs was expected.`, { where: dir });
}

/** A path as one would type it here. */
export function shortPath(path: string): string {
  const here = relative(process.cwd(), path);
  return here === "" || here.startsWith("..") ? path : here;
}

/** A word as a shell takes it. */
export const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/**
 * A command of this program to type next. Where npm started it (`npx`, `npm start`), the shell may not know it by its
 * name.
 */
export const toType = (words: string): string => `${process.env["npm_command"] ? "npx " : ""}tenon ${words}`;
