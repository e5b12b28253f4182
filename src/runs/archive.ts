/** A run as one file, to carry it from a browser to a terminal and back: a tar archive of its folder. */

import { MANIFEST } from "../artifacts/manifest.js";
import { readPieces } from "../artifacts/pieces.js";
import { ConfigError, FormatError, kindOf, RunError } from "../core/errors.js";
import type { ByteSource } from "../core/platform.js";
import { checkPath, nameProblem, type RunStore } from "../core/store.js";
import { LOCK } from "./folder.js";
import { loadRun } from "./list.js";
import { type StoreOption, storeOf } from "./store.js";
import { type TarEntry, tarEnd, tarEntries, tarHeader, tarPadding } from "./tar.js";
import { verify } from "./verify.js";

/** The run as a tar archive, in pieces: for a file, a download or `importRun`. Equal runs give equal archives. */
export async function* exportRun(name: string, options: StoreOption = {}): AsyncGenerator<Uint8Array> {
  const { store, folder } = await loadRun(name, { store: storeOf("exportRun", options) });
  for await (const path of filesUnder(store, folder)) {
    const size = await store.size(path);
    if (size === undefined) {
      throw new RunError(`exportRun: needs files and folders, got ${path}, which is neither.`, {
        where: "exportRun",
        path,
        hint: "Archives hold no links: remove it, or put a file in its place.",
      });
    }
    yield tarHeader(path, size);
    yield* readPieces((start, end) => store.read(path, start, end), size);
    yield tarPadding(size);
  }
  yield tarEnd();
}

/** A lock belongs to a process, not to the run; archives of other tools may hold one. */
const isLock = (name: string): boolean => name === LOCK;

async function* filesUnder(store: RunStore, folder: string): AsyncGenerator<string> {
  for (const { name, kind } of await store.list(folder)) {
    if (isLock(name)) continue;
    if (kind === "file") yield `${folder}/${name}`;
    else yield* filesUnder(store, `${folder}/${name}`);
  }
}

/**
 * Unpacks an archive of a run into a store and verifies it; returns its executionId. Refused, with nothing left
 * behind: paths that lead out of the run, links, a cut archive, a run that does not verify, one that is there already.
 */
export async function importRun(archive: ByteSource, options: StoreOption = {}): Promise<string> {
  const place = storeOf("importRun", options);
  if (typeof Object(archive).read !== "function") {
    throw new ConfigError(`importRun: needs an archive that can be read by range, got ${kindOf(archive)}.`, {
      where: "importRun",
      hint: 'For example bytesSource(bytes, "run.tar") of tenon/artifacts.',
    });
  }
  // All paths are checked before anything is written.
  const entries: TarEntry[] = [];
  for await (const entry of tarEntries(archive)) entries.push(entry);
  const executionId = checkEntries(entries, archive.name);
  const manifest = `${executionId}/${MANIFEST}`;
  const refuseExisting = async () => {
    if ((await place.size(manifest)) === undefined) return;
    throw new RunError(`${place.name}: holds ${executionId} already, nothing is overwritten.`, { where: archive.name });
  };
  await refuseExisting();
  const release = await place.lock(`${executionId}/${LOCK}`);
  try {
    await refuseExisting();
  } catch (error) {
    await release();
    throw error;
  }
  try {
    // Without its manifest a folder is what an import that was killed has left.
    for (const { name } of await place.list(executionId))
      if (!isLock(name)) await place.remove(`${executionId}/${name}`);
    const last = (path: string) => Number(path === manifest);
    for (const { path, start, size } of entries.sort((a, b) => last(a.path) - last(b.path))) {
      if (isLock(path.slice(executionId.length + 1))) continue;
      await place.write(
        path,
        readPieces((from, to) => archive.read(start + from, start + to), size),
      );
    }
    const { problems } = await verify(executionId, { store: place });
    const own = problems.filter((problem) => problem.startsWith(`${executionId}`));
    if (own.length > 0)
      throw new FormatError(`${archive.name}: holds a damaged run. ${own.join(" ")}`, { problems: own });
  } catch (error) {
    await place.remove(executionId);
    await release();
    throw error;
  }
  await release();
  return executionId;
}

/** The one folder that all entries are in. */
function checkEntries(entries: readonly TarEntry[], archive: string): string {
  const [folder] = entries[0]?.path.split("/") ?? [""];
  const seen = new Set<string>();
  for (const { path } of entries) {
    const parts = checkPath(path, archive);
    if (parts[0] !== folder || parts.length < 2) {
      throw new FormatError(`${archive}: files in one run's folder expected, got ${path}.`, { where: archive, path });
    }
    if (seen.has(path)) throw new FormatError(`${archive}: every file once expected, got ${path} twice.`, { path });
    seen.add(path);
  }
  if (nameProblem(folder) === undefined && seen.has(`${folder}/${MANIFEST}`)) return folder;
  throw new FormatError(`${archive}: the archive of a run with ${MANIFEST} expected, found none.`, { where: archive });
}
