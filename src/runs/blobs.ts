/** Blobs: data that pass by once, kept in a store under their SHA-256. */

import { measured, readPieces } from "../artifacts/pieces.js";
import type { RunStore } from "../core/store.js";

/** The folder of a store that holds them; it is no run. */
export const BLOBS = "blobs";
const DATA = `${BLOBS}/data`;

/** Where a store has, or would have, the data with this hash. */
export const blobPath = (sha256: string): string => `${DATA}/${sha256}`;

/** The hashes of all that a store keeps. */
export const listBlobs = async (store: RunStore): Promise<string[]> =>
  (await store.list(DATA)).map(({ name }) => name).filter((name) => /^[0-9a-f]{64}$/.test(name));

/** Keeps bytes under their SHA-256 and returns it; what is there already is not written again. */
export async function putBlob(store: RunStore, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<string> {
  // The name is known only when all bytes have passed: they wait under another one.
  for (let n = 0; ; n++) {
    const folder = `${DATA}/incoming-${n}`;
    if (!(await store.claim(folder))) continue;
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
    }
  }
}
