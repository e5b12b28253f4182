import { expect, test } from "vitest";
import { expectedWeights, trainOnBlob } from "../runs/table-in-memory.js";

test("a table that is a Blob trains in a page to the weights that Node gets", async () => {
  const { weightsHash, metrics } = await trainOnBlob();
  expect(weightsHash).toBe(expectedWeights);
  expect(Object.keys(metrics)).toEqual(["valMae", "valRmse", "valR2"]);
});
