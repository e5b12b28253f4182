/**
 * The ops of one tensor's own: what stands here are methods of Tensor too. Attention, convolutions, pools, losses and cells
 * are not, as in PyTorch, and who does not import them does not load them.
 */

export * from "./dropout.js";
export * from "./elementwise.js";
export * from "./indexing.js";
export * from "./join.js";
export * from "./matmul.js";
export * from "./movement.js";
export * from "./norm.js";
export * from "./reduce.js";
export * from "./region.js";
export * from "./softmax.js";
export * from "./triangle.js";
