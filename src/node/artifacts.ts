import "./platform.js";

export * from "../artifacts/index.js";
