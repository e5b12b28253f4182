/** Opening the place where runs are kept. */

import { OpfsStore } from "../artifacts/opfs-store.js";
import { ConfigError, kindOf, RunError } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { platform } from "../core/platform.js";
import type { RunStore } from "../core/store.js";

export type { RunStore, StoreEntry } from "../core/store.js";

export interface StoreOption {
  /** Where the runs are: a store, or the path of a folder; "runs" unless told. */
  readonly store?: RunStore | string;
}

/** The store that the options of `where` name; `others` are the options that it has besides. */
export function storeOf(where: string, options: StoreOption, others: readonly string[] = []): RunStore {
  checkOptions(where, options, ["store", ...others]);
  return openStore(options.store ?? "runs", where);
}

/**
 * A store as it is; a text as a folder of the file system (Node) or of the origin-private file system (browsers).
 * Nothing is made before the first write. `where` names the caller in errors.
 */
export function openStore(place: RunStore | string, where = "openStore"): RunStore {
  if (typeof place !== "string") {
    if (typeof place?.claim === "function") return place;
    throw new ConfigError(`${where}: needs a store or the path of a folder, got ${kindOf(place)}.`, {
      where,
      hint: 'For example store: new MemoryStore(), or store: "runs".',
    });
  }
  const { openStore: open } = platform();
  if (open) return open(place);
  if (globalThis.navigator?.storage !== undefined) return new OpfsStore(place);
  throw new RunError(`openStore: "${place}" needs a file system, and this host has none.`, {
    where: "openStore",
    hint: "Pass a MemoryStore, or serve the page over HTTPS so that it gets the origin-private file system.",
  });
}
