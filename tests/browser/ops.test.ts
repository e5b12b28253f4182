/** The table of operations in a page; without isolation the CPU has one thread, and two are the same as one. */

import { testFixtures } from "../ops/fixture-table.js";
import { testDevices } from "../setup/devices.js";

declare const __ISOLATED__: boolean;

testFixtures(testDevices.filter(({ name }) => name !== "reference" && (__ISOLATED__ || !name.includes("2"))));
