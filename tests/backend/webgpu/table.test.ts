/** The table of operations on the graphics card, in Node. */

import { describe } from "vitest";
import { testFixtures } from "../../ops/fixture-table.js";
import { openWebGpu } from "./device.js";

const backend = await openWebGpu();

describe.skipIf(!backend)("in Node", () => {
  testFixtures([{ name: "webgpu", device: "webgpu", slack: 10, open: async () => void (await openWebGpu()) }]);
});
