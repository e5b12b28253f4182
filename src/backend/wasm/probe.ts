/** What this engine can do: found out by validating and running tiny modules, never by its name. */

import { ModuleBuilder } from "./assembler.js";
import { F32, I32 } from "./values.js";
import { f32x4 } from "./vectors.js";

/** What was found, with a reason for each thing that is missing. */
export interface WasmFeatures {
  simd: boolean;
  /** Relaxed SIMD is there and its multiply-add rounds once: what `numerics: "fast"` uses. */
  fusedMultiplyAdd: boolean;
  /** A memory that workers can share. */
  sharedMemory: boolean;
  reasons: Partial<Record<"simd" | "fusedMultiplyAdd" | "sharedMemory", string>>;
}

/** Probes the engine. Cheap enough to run once per engine instance. */
export function probeFeatures(): WasmFeatures {
  const reasons: WasmFeatures["reasons"] = {};
  const simd = refusalOf(() => runProbe(simdProbe()));
  if (simd) reasons.simd = simd;
  const fused = simd ?? refusalOf(checkFused);
  if (fused) reasons.fusedMultiplyAdd = fused;
  const shared = refusalOf(checkShared);
  if (shared) reasons.sharedMemory = shared;
  return { simd: !simd, fusedMultiplyAdd: !fused, sharedMemory: !shared, reasons };
}

/** Undefined when the check passes, else why it does not. */
function refusalOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replace(/\.$/, ""); // it stands within a sentence
  }
}

/** A module whose `probe` writes one float to address 0; returns that float. */
function runProbe(bytes: Uint8Array<ArrayBuffer>): number {
  if (typeof WebAssembly === "undefined") throw new Error("this engine has no WebAssembly");
  if (!WebAssembly.validate(bytes)) throw new Error("this engine does not know the instructions");
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  (instance.exports.probe as () => void)();
  return new Float32Array(memory.buffer)[0];
}

function simdProbe(): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.export("probe", {}, (f) => f.storeV128(I32.const(0), f32x4.add(f32x4.const(1), f32x4.const(2))));
  return module.bytes({ shared: false, maximum: 1 });
}

/** fma(a, a, -round(a * a)) is the rounding error of the product: 0 exactly when the product was rounded first. */
function checkFused(): void {
  const module = new ModuleBuilder();
  module.export("probe", { x: "f32" }, (f) => {
    const a = f.let(f32x4.splat(F32.const(1.0000001).add(I32.const(0).f32())));
    f.storeV128(I32.const(0), f32x4.relaxedMadd(a, a, f32x4.neg(f32x4.mul(a, a))));
  });
  const error = runProbe(module.bytes({ shared: false, maximum: 1 }));
  if (error === 0) throw new Error("relaxed multiply-add rounds twice on this processor");
}

function checkShared(): void {
  if (typeof SharedArrayBuffer === "undefined") {
    const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
    throw new Error(
      isolated === false
        ? "the page is not cross-origin isolated (it needs the headers COOP same-origin and COEP require-corp)"
        : "this engine has no SharedArrayBuffer",
    );
  }
  new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
}
