/** The likeliest of rows, into a tensor that is there. */

import * as t from "tenon";
import { beforeAll, describe, expect, test } from "vitest";
import { argmaxInto } from "../../src/ops/argmax-into.js";
import { noise } from "../backend/operands.js";

describe.each(["reference", "cpu"] as const)("argmaxInto on %s", (device) => {
  beforeAll(() => t.init({ device }));

  test("gives what argmax gives, in place", async () => {
    const x = t.tensor(noise(3 * 50)).reshape([3, 50]);
    const out = t.zeros([3, 1], { dtype: "int32" });
    argmaxInto(x, out);
    expect(await out.data()).toEqual(await t.argmax(x, { dim: 1 }).data());
    argmaxInto(x.neg(), out);
    expect(await out.data()).toEqual(await t.argmin(x, { dim: 1 }).data());
  });
});
