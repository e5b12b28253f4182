// Times the CPU kernels of the source tree: `node [--experimental-wasm-relaxed-simd] bench/kernels.mjs [filter]`.
// Bundles bench/kernels/main.ts with rolldown first, so that no build is needed.
import { pathToFileURL } from "node:url";
import { rolldown } from "rolldown";

const file = ".cache/bench-kernels.mjs";
const bundle = await rolldown({
  input: "bench/kernels/main.ts",
  platform: "node",
  external: (id) => !id.startsWith(".") && !id.startsWith("/"),
});
await bundle.write({ file, format: "esm", codeSplitting: false });
await bundle.close();
await import(pathToFileURL(file).href);
