// Times the CPU kernels of the source tree: `node [--experimental-wasm-relaxed-simd] bench/kernels.mjs [filter]`.
// Bundles bench/kernels/main.ts with rolldown first, so that no build is needed.
import { pathToFileURL } from "node:url";
import { bundle } from "./bundle.mjs";

const file = ".cache/bench-kernels.mjs";
await bundle("bench/kernels/main.ts", file);
await import(pathToFileURL(file).href);
