import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe } from "vitest";

/** Public test data beside the project, or nothing. */
export const DATA = resolve(process.env["TENON_DATA"] ?? "../shared/data");

/** `describe` that skips, saying why, where the public data is absent. */
export function describeWithData(name: string, folder: string, body: (path: string) => void): void {
  const path = join(DATA, folder);
  if (existsSync(path)) describe(name, () => body(path));
  else {
    console.info(`skipped: ${name}: ${path} is absent (set TENON_DATA)`);
    describe.skip(name, () => {});
  }
}

/** A stream that gives a text or bytes in pieces of `size` bytes. */
export async function* inPieces(content: string | Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
