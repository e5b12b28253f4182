/** A pipeline in a process of its own: takes the cursor from the command line and prints the batches that remain. */

import "../../src/node/platform.js";
import { fromCsv } from "../../src/data/index.js";

const [, , file, state] = process.argv;

/** What the test builds, too: parallel maps, a shuffle through a buffer, prefetching, batches. */
export const pipeline = (path: string) =>
  fromCsv(path)
    .filter(({ i }) => (i as number) % 7 !== 0)
    .map(async (row) => ({ ...row, twice: 2 * (row["i"] as number) }), { concurrency: 4 })
    .shuffle({ seed: 5, bufferSize: 32 })
    .prefetch(8)
    .batch({ batchSize: 6, epochs: 2 });

if (state !== undefined) {
  const batches = pipeline(file);
  batches.restore(JSON.parse(state));
  const rest: number[][] = [];
  for await (const { columns } of batches) rest.push(Array.from(columns["twice"].data as Float32Array));
  console.log(JSON.stringify(rest));
}
