/** Attention over a packed projection: what it gives without a copy is what it gives with one. */

import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { noise } from "../backend/operands.js";

describe.each(["reference", "cpu"] as const)("causalAttention on %s", (device) => {
  beforeAll(() => t.init({ device }));

  test("reads q from rows that hold q, k and v: the same bits, the same gradient", async () => {
    const [heads, kvHeads, dim, queries, keys] = [4, 2, 6, 3, 5];
    const width = heads * dim;
    const values = async (packed: boolean) => {
      const qkv = t.tensor(noise(2 * queries * (width + 2 * kvHeads * dim)), { requiresGrad: true });
      const rows = t.reshape(qkv, [2, queries, -1]);
      const [k, v] = [2, 3].map((seed) => t.tensor(noise(2 * keys * kvHeads * dim, seed)).reshape([2, keys, -1]));
      const attend = () =>
        t.causalAttention(packed ? rows : t.narrow(rows, 2, 0, width), k, v, { heads, kvHeads, packed });
      const plain = t.noGrad(attend);
      const recorded = attend();
      t.sum(t.square(recorded)).backward();
      return Promise.all([plain, recorded, qkv.grad!].map(async (x) => Array.from(await x.data())));
    };
    const [packed, narrow] = [await values(true), await values(false)];
    expect(packed).toEqual(narrow);
    expect(packed[0]).toEqual(packed[1]);
  });

  test("refuses rows of another width", () => {
    const [q, k] = [t.zeros([1, 2, 9]), t.zeros([1, 2, 4])];
    expect(() => t.causalAttention(q, k, k, { heads: 2, packed: true })).toThrow(
      "causalAttention: needs q [B, T, (H + 2 * Hkv) * D]",
    );
  });
});
