import { init } from "tenon";
import { testModelApi } from "../shared/model-api.js";

testModelApi(() => init({ device: "cpu", threads: 2 }));
