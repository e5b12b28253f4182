import { testDevices } from "../setup/devices.js";
import { testFixtures } from "./fixture-table.js";

testFixtures(testDevices);
