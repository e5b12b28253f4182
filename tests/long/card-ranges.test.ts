/**
 * Kernels of graphics cards on tensors above the limit of one binding give the bits of one binding, as those of software
 * adapters do in `npm test`. The software GPU takes minutes to compile them.
 */

import { afterAll, describe, expect, test } from "vitest";
import { bytesOn, LIMIT, open, table } from "../backend/webgpu/range-cases.js";

const whole = await open({});
afterAll(() => whole?.destroy());

describe.skipIf(!whole)("kernels of graphics cards", () => {
  test.each(table)("%s", async (_, body, limit = LIMIT) => {
    const expected = await bytesOn(whole!, body);
    // Some bind more buffers at once than those of software adapters: their ranges are longer.
    for (let range = limit, done = false; !done; range *= 2) {
      const cut = (await open({}, range))!;
      try {
        const got = await bytesOn(cut, body);
        for (const [i, bytes] of got.entries()) expect(Buffer.compare(bytes, expected[i]), `output ${i}`).toBe(0);
        done = true;
      } catch (error) {
        if (range >= 8 * limit || !/needs \d+ bindings/.test(String(error))) throw error;
      } finally {
        cut.destroy();
      }
    }
  });
});
