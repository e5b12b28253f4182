import "./platform.js";
import "./reference.js";

export * from "../runs/index.js";
