/** What files begin with: formats that are no text, known by their first bytes so that messages can name them. */

import { DataError } from "../core/errors.js";

const FOREIGN: readonly (readonly [head: readonly (number | null)[], what: string, hint: string])[] = [
  [[0x50, 0x4b, 3, 4], "a ZIP archive or an Excel workbook", "Unpack the archive, or save the sheet as CSV."],
  [[0xd0, 0xcf, 0x11, 0xe0], "an old Excel workbook", "Save the sheet as CSV."],
  [[0x1f, 0x8b], "gzip data within gzip data", "Undo one of the two."],
  [[0x28, 0xb5, 0x2f, 0xfd], "Zstandard data", "Expand the file, or compress it with gzip."],
  [[0x42, 0x5a, 0x68, null, 0x31, 0x41], "bzip2 data", "Expand the file, or compress it with gzip."],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz data", "Expand the file, or compress it with gzip."],
  [[0x50, 0x41, 0x52, 0x31], "a Parquet file", "Read it with fromParquet."],
  [[0x41, 0x52, 0x52, 0x4f, 0x57, 0x31], "an Arrow file", "Write it as Parquet or CSV."],
  [[0x89, 0x50, 0x4e, 0x47], "a PNG image", "Read images into rows of bytes with a schema of your own."],
  [[0x25, 0x50, 0x44, 0x46], "a PDF document", "Extract its text first."],
  [[0xff, 0xfe, 0, 0], "UTF-32 text", "Write it as UTF-8."],
  [[0, 0, 0xfe, 0xff], "UTF-32 text", "Write it as UTF-8."],
];

/** Throws DataError on the beginning of a file that is no text. */
export function refuseForeign(head: Uint8Array, name: string): void {
  for (const [bytes, what, hint] of FOREIGN) {
    if (!bytes.every((byte, i) => byte === null || head[i] === byte)) continue;
    throw new DataError(`${name}: is ${what}, text was expected.`, { where: name, hint });
  }
}

/** UTF-16 as its text of Latin letters shows it: every other byte is 0, and no byte between is. */
export function unmarkedUtf16(head: Uint8Array): "utf-16le" | "utf-16be" | undefined {
  if (head.length < 4) return undefined;
  const zeros = [0, 0];
  for (let i = 0; i < head.length; i++) if (head[i] === 0) zeros[i % 2]++;
  const most = 0.4 * head.length;
  if (zeros[1] >= most && zeros[0] === 0) return "utf-16le";
  return zeros[0] >= most && zeros[1] === 0 ? "utf-16be" : undefined;
}
