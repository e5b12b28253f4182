/** What a run may promise of its bits, by where it computes. */

import type { Determinism } from "../artifacts/manifest.js";

/** The promise that goes into the manifest, whatever was asked for. */
export function promiseOf(device: string, numerics: string): Determinism {
  if (device !== "webgpu" && numerics === "portable") {
    return { promise: "bits", statement: "Equal bits in every engine, on every machine, with any number of threads." };
  }
  if (device !== "webgpu") return { promise: "device", statement: "Equal bits where fused multiply-add is available." };
  return {
    promise: "tolerance",
    statement: "Equal bits on one device; elsewhere within tolerances.",
    tolerances: { loss: 1e-3, weights: 1e-2 },
  };
}
