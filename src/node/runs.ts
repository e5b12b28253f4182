import "./platform.js";

export * from "../runs/index.js";
