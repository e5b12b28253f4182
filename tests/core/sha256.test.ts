import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Sha256 } from "../../src/core/sha256.js";

test("equals Node's SHA-256 at every length around block edges and in any chunks", () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * 37) & 255);
  for (let n = 0; n <= 300; n++) {
    const expected = createHash("sha256").update(bytes.subarray(0, n)).digest("hex");
    expect(new Sha256().update(bytes.subarray(0, n)).digest()).toBe(expected);
    const chunked = new Sha256();
    for (let at = 0; at < n; at += 7) chunked.update(bytes.subarray(at, Math.min(n, at + 7)));
    expect(chunked.digest()).toBe(expected);
  }
});
