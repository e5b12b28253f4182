import "./platform.js";

export * from "../models/index.js";
