/** Peers, of bench/ alone, and what runs them: nobody but the benchmarks sees their types. */
declare module "@jax-js/jax";
declare module "@tensorflow/tfjs";
declare module "@tensorflow/tfjs-backend-webgpu";
declare module "*/jax-step.mjs";
declare module "*/tfjs-step.mjs";
