import "./platform.js";

export * from "../tokenizers/index.js";
