/**
 * The machine under the `cpu` backend: one memory, one pool of threads, and the kernels compiled so far. Kernels are
 * emitted in families, each at its first use, as bytes that every thread compiles for itself.
 */

import { DeviceError } from "../../core/errors.js";
import { platform } from "../../core/platform.js";
import type { Numerics } from "../report.js";
import { ModuleBuilder } from "./assembler.js";
import { type TileShape, tileFor } from "./gemm/tile.js";
import { LinearMemory } from "./memory.js";
import { Pool } from "./pool.js";
import { probeFeatures, type WasmFeatures } from "./probe.js";

export interface EngineOptions {
  /** Threads, the caller included; one per core unless given. */
  threads?: number;
  /** `fast` uses fused multiply-add where a probe shows it to be truly fused, else it is the same as `portable`. */
  numerics?: Numerics;
  /** Upper bound of the memory, for tests. */
  maximumBytes?: number;
  /** Tiles for engines that join pairs of vectors (`platform().wideVectors` unless given). Changes no bit. */
  wide?: boolean;
  /** Leaves out shared memory, as on a page that is not cross-origin isolated. */
  shared?: boolean;
}

/** Kernel numbers of a family, by name. */
export type Family = Readonly<Record<string, number>>;

export class Engine {
  readonly features: WasmFeatures;
  readonly memory: LinearMemory;
  readonly pool: Pool;
  /** Do kernels use fused multiply-add? Part of a run's identity. */
  readonly fused: boolean;
  readonly numerics: Numerics;
  /** The tile of matrix products that this engine computes fastest. */
  readonly tile: TileShape;
  private readonly families = new Map<string, Family>();

  /** Throws DeviceError where WebAssembly SIMD is missing or forbidden. */
  constructor({
    threads = platform().cores,
    numerics = "portable",
    maximumBytes,
    wide,
    shared = true,
  }: EngineOptions = {}) {
    this.features = probeFeatures();
    if (!this.features.simd) {
      throw new DeviceError(`cpu: needs WebAssembly SIMD, got an engine without: ${this.features.reasons.simd}.`, {
        where: "cpu",
        hint: 'Use the device "reference", or allow `wasm-unsafe-eval` in the page\'s content security policy.',
      });
    }
    this.numerics = numerics;
    this.fused = numerics === "fast" && this.features.fusedMultiplyAdd;
    this.tile = tileFor(this.fused, wide ?? platform().wideVectors ?? false);
    this.memory = new LinearMemory({ shared: shared && this.features.sharedMemory, maximumBytes });
    this.pool = new Pool(this.memory, { threads });
  }

  /** The kernels that `define` exports; emitted and compiled at the first call with this key. */
  family(key: string, define: (module: ModuleBuilder) => void): Family {
    const known = this.families.get(key);
    if (known) return known;
    const module = new ModuleBuilder();
    define(module);
    const { shared, maximumPages: maximum } = this.memory;
    const family = this.pool.load(module.bytes({ shared, maximum }));
    this.families.set(key, family);
    return family;
  }

  destroy(): void {
    this.pool.stop();
    this.families.clear();
  }
}
