/** The built package, for tests that must see what users get. Built when missing or older than the sources. */
import { fileURLToPath } from "node:url";
import { buildIfStale } from "../../scripts/build.mjs";

/** Path of an up-to-date `dist/`. */
export async function builtDist(): Promise<string> {
  await buildIfStale();
  return fileURLToPath(new URL("../../dist", import.meta.url));
}
