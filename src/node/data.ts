import "./platform.js";

export * from "../data/index.js";
