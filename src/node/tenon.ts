import "./platform.js";
import "./reference.js";

export * from "../index.js";
