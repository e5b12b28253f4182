import "./platform.js";
import "./reference.js";

export * from "../models/index.js";
