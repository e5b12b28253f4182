/** Running row kernels: the first two arguments are the range, the last one is the scratch address. */

import type { Engine } from "../engine.js";

export interface RowRun {
  /** Length of the divided range. */
  rows: number;
  /** All arguments; range and scratch are filled in. */
  args: number[];
  scratchBytes: number;
  /** Estimated nanoseconds on one thread. */
  cost: number;
  granule?: number;
}

export function runRows(engine: Engine, kernel: number, { rows, args, scratchBytes, cost, granule }: RowRun): void {
  engine.pool.run(kernel, args, {
    rangeArgument: 0,
    total: rows,
    granule,
    scratchArgument: args.length - 1,
    scratchBytes: Math.ceil(scratchBytes / 64) * 64,
    cost,
  });
}

/** Memory that is there while `work` runs. */
export function withMemory(engine: Engine, bytes: number, work: (address: number) => void): void {
  const address = engine.memory.alloc(bytes);
  try {
    work(address);
  } finally {
    engine.memory.release(address, bytes);
  }
}
