/** The bytes of column chunks, read in as few requests as pay. */

import type { ColumnMetaData } from "hyparquet";
import type { ByteSource } from "../core/platform.js";
import { chunkStart } from "./parquet-footer.js";

/** Gaps of so many bytes are read along, and reads grow to so many bytes, because requests cost more than bytes. */
const GAP = 1 << 13;
const RUN = 1 << 21;

/** The bytes of each chunk, neighbours read together. */
export async function readChunks(
  file: ByteSource,
  wanted: readonly ColumnMetaData[],
): Promise<Map<ColumnMetaData, Uint8Array<ArrayBuffer>>> {
  const places = wanted.map((meta) => {
    const start = chunkStart(meta);
    return { meta, start, end: start + Number(meta.total_compressed_size) };
  });
  places.sort((a, b) => a.start - b.start);
  const runs: { start: number; end: number; places: typeof places }[] = [];
  for (const place of places) {
    const run = runs.at(-1);
    if (run && place.start <= run.end + GAP && place.end - run.start <= RUN) {
      run.end = Math.max(run.end, place.end);
      run.places.push(place);
    } else runs.push({ start: place.start, end: place.end, places: [place] });
  }
  const chunks = new Map<ColumnMetaData, Uint8Array<ArrayBuffer>>();
  await Promise.all(
    runs.map(async (run) => {
      const bytes = (file.bytes?.subarray(run.start, run.end) ??
        (await file.read(run.start, run.end))) as Uint8Array<ArrayBuffer>;
      for (const { meta, start, end } of run.places)
        chunks.set(meta, bytes.subarray(start - run.start, end - run.start));
    }),
  );
  return chunks;
}
