import "./platform.js";

export * from "../index.js";
