import { init } from "tenon";
import { testModelApi } from "./model-api.js";

testModelApi(() => init({ device: "cpu", threads: 1 }));
