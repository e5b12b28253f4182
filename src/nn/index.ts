/** `tenon/nn`: modules, their initial values and their state. */

export { Parameter } from "../tensor/tensor.js";
export * from "./activation.js";
export * from "./attention.js";
export * from "./container.js";
export * from "./convolution.js";
export * from "./dropout.js";
export * as init from "./init.js";
export { deferInit, gpt2Rule, type InitialCalls, type InitialRule, initialize } from "./init.js";
export * from "./linear.js";
export * from "./loss.js";
export { Module } from "./module.js";
export * from "./norm.js";
export * from "./recurrent.js";
export type { HostTensor, LoadReport, StateValue } from "./state.js";
