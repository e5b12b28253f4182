/** Runs the table of store promises in a worker, where vitest is not; answers with the problem of each case, or null. */

import { OpfsStore } from "../../src/artifacts/opfs-store.js";
import { canonicalJson } from "../../src/core/json.js";
import { storeCases } from "../runs/store-cases.js";

function expectation(got: unknown) {
  const unless = (holds: boolean, wanted: unknown) => {
    if (!holds) throw new Error(`${String(wanted)} expected, got ${String(got)}`);
  };
  return {
    toBe: (wanted: unknown) => unless(Object.is(got, wanted), wanted),
    toEqual: (wanted: unknown) => unless(canonicalJson(got) === canonicalJson(wanted), wanted),
    toMatch: (wanted: RegExp) => unless(wanted.test(String(got)), wanted),
  };
}

self.onmessage = async ({ data: folder }: MessageEvent<string>) => {
  const quick = "createSyncAccessHandle" in FileSystemFileHandle.prototype;
  const results: [string, string | null][] = [["has the quick way", quick ? null : "it has not"]];
  for (const [i, [name, run]] of storeCases.entries()) {
    const problem = await run(new OpfsStore(`${folder}/${i}`), expectation).then(
      () => null,
      (error) => String(error),
    );
    results.push([name, problem]);
  }
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(folder, { recursive: true });
  self.postMessage(results);
};
