/** Blobs: data that pass by once, kept in a store under their SHA-256. */

import { measured, readPieces } from "../artifacts/pieces.js";
import { RunError } from "../core/errors.js";
import type { RunStore } from "../core/store.js";

/** The folder of a store that holds them; it is no run. */
export const BLOBS = "blobs";
const DATA = `${BLOBS}/data`;
const INCOMING = "incoming-";

/** Where a store has, or would have, the data with this hash. */
export const blobPath = (sha256: string): string => `${DATA}/${sha256}`;

/** The hashes of all that a store keeps. */
export const listBlobs = async (store: RunStore): Promise<string[]> =>
  (await store.list(DATA)).map(({ name }) => name).filter((name) => /^[0-9a-f]{64}$/.test(name));

/** Keeps bytes under their SHA-256 and returns it; what is there already is not written again. */
export async function putBlob(store: RunStore, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<string> {
  await removeForsaken(store);
  // The name is known only when all bytes have passed: they wait under another one.
  for (let n = 0; ; n++) {
    const folder = `${DATA}/${INCOMING}${n}`;
    const release = await lockOf(store, folder);
    if (!release) continue;
    const waiting = `${folder}/bytes`;
    try {
      const stream = measured(bytes);
      await store.write(waiting, stream);
      const { sha256, size } = stream.record();
      const path = blobPath(sha256);
      if ((await store.size(path)) === undefined) {
        await store.write(
          path,
          readPieces((start, end) => store.read(waiting, start, end), size),
        );
      }
      return sha256;
    } finally {
      await store.remove(folder);
      await release();
    }
  }
}

/** Removes what waits for a process that has ended. */
async function removeForsaken(store: RunStore): Promise<void> {
  for (const { name } of await store.list(DATA)) {
    const release = name.startsWith(INCOMING) && (await lockOf(store, `${DATA}/${name}`));
    if (!release) continue;
    await store.remove(`${DATA}/${name}`);
    await release();
  }
}

/** Takes the lock of a folder that bytes come into; undefined where they come for somebody else. */
const lockOf = (store: RunStore, folder: string): Promise<(() => Promise<void>) | undefined> =>
  store.lock(`${folder}/lock`).catch((error) => {
    if (error instanceof RunError && error.details["locked"]) return undefined;
    throw error;
  });
