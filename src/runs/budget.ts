/** When a step does not fit the memory budget: what takes the room, and the batch size that fits. */

import { showBytes } from "../backend/storage.js";
import { MemoryBudgetError, type TenonError } from "../core/errors.js";
import { tidy } from "../tensor/scope.js";
import type { Task } from "./task.js";

/** A better error for a step over budget. The run's last checkpoint stays as it is. */
export async function showBudget(error: MemoryBudgetError, task: Task): Promise<TenonError> {
  task.model.zeroGrad();
  const largest = [...task.model.namedParameters()]
    .map(([name, tensor]) => ({ name, bytes: tensor.storage.bytes }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 3)
    .map(({ name, bytes }) => `${name} ${showBytes(bytes)}`);
  const fits = task.fits && largestBatch(task);
  const advice =
    fits === undefined
      ? ""
      : fits > 0
        ? ` A batch size of ${fits} fits.`
        : " Not even a batch size of 1 fits: use a smaller model.";
  return new MemoryBudgetError(`${error.message} Largest parameters: ${largest.join(", ")}.${advice}`, {
    ...error.details,
    hint: undefined,
    batchSize: fits,
  });
}

/** Tries smaller batches for real, forward and backward, and keeps the largest that passes. */
function largestBatch(task: Task): number {
  let [low, high] = [0, task.batchSize ?? 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    try {
      tidy(() => task.fits!(middle).backward());
      low = middle;
    } catch (error) {
      if (!(error instanceof MemoryBudgetError)) throw error;
      high = middle;
    }
    task.model.zeroGrad();
  }
  return low;
}
