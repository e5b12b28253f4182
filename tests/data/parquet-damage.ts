/** Parquet files with random damage: read, or refused by name, and soon. */

import { fromParquet } from "tenon/data";
import { expect } from "vitest";
import { Generator, randomInteger } from "../../src/core/random.js";

/** One to four bytes overwritten, anywhere or in the footer; the same round makes the same damage everywhere. */
export function damaged(whole: Uint8Array, round: number, place: "anywhere" | "footer"): Uint8Array {
  const call = new Generator(5).at("damage", round);
  let index = 0;
  const draw = (below: number) => randomInteger(call, index++, below);
  const bytes = whole.slice();
  const footer = new DataView(whole.buffer, whole.byteOffset).getUint32(whole.length - 8, true) + 8;
  const from = place === "footer" ? Math.max(0, whole.length - footer) : 0;
  for (let left = draw(4) + 1; left > 0; left--) bytes[from + draw(bytes.length - from)] = draw(256);
  return bytes;
}

/** Reads every round; no error but DataError with the file's name, no round beyond ten seconds. Returns how many failed. */
export async function survives(
  name: string,
  whole: Uint8Array,
  rounds: number,
  place: "anywhere" | "footer",
): Promise<number> {
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await fromParquet(damaged(whole, round, place), { name })
      .toArray()
      .catch((error) => {
        refused++;
        expect(error.name, `round ${round}: ${error.stack}`).toBe("DataError");
        expect(error.message).toContain(name);
      });
    expect(performance.now() - started, `${name}, round ${round}, ${place}`).toBeLessThan(10_000);
  }
  return refused;
}

/** The message of a DataError, which ends with its hint. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => expect.fail("must be refused"),
    (cause: Error) => cause,
  );
  expect(error.name).toBe("DataError");
  return error.message;
}
