/** `tenon/optim`: optimizers, schedules, gradient clipping. */

export { Adam, type AdamOptions, AdamW } from "./adam.js";
export * from "./clip.js";
export { Muon, type MuonOptions, orthogonalize } from "./muon.js";
export {
  decayGroups,
  Optimizer,
  type OptimizerState,
  type ParameterGroup,
  type Parameters,
  type StepOptions,
} from "./optimizer.js";
export * from "./schedule.js";
export { SGD, type SGDOptions } from "./sgd.js";
