/** The same twenty steps in a page, on as many threads as it has: the weights that Node ends with. */
import { init } from "tenon";
import { expect, test } from "vitest";
import { babySteps } from "../golden/baby.js";
import bits from "../golden/bits.json";

declare const __ISOLATED__: boolean;

test("twenty steps of the baby GPT end with the weights that Node has", async () => {
  const { threads } = await init({ device: "cpu", threads: 2, numerics: "portable" });
  expect(threads).toBe(__ISOLATED__ ? 2 : 1);
  expect(await babySteps()).toBe(bits["20 steps of the baby GPT"]);
});
