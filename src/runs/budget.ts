/** When a step does not fit the memory budget: what takes the room, and the batch size that fits. */

import { showBytes } from "../backend/storage.js";
import { MemoryBudgetError, type TenonError } from "../core/errors.js";
import type { StepTask, Task } from "./task.js";

/** A step of what it is given. */
type Step = (task: StepTask) => Promise<unknown>;

/** A better error for a step over budget. The run is over: weights may change, its last checkpoint stays as it is. */
export async function showBudget(error: MemoryBudgetError, task: Task, step: Step): Promise<TenonError> {
  task.model.zeroGrad();
  const largest = [...task.model.namedParameters()]
    .map(([name, tensor]) => ({ name, bytes: tensor.storage.bytes }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 3)
    .map(({ name, bytes }) => `${name} ${showBytes(bytes)}`);
  const fits = task.fits && (await largestBatch(task, step));
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

/** Tries smaller batches for real and keeps the largest that passes. The second step has the optimizer's moments beside it. */
async function largestBatch(task: Task, step: Step): Promise<number> {
  let [low, high] = [0, task.batchSize ?? 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const smaller = { model: task.model, next: async () => task.fits!(middle) };
    try {
      for (let i = 0; i < 2; i++) await step(smaller);
      low = middle;
    } catch (error) {
      if (!(error instanceof MemoryBudgetError)) throw error;
      high = middle;
    }
    task.model.zeroGrad();
  }
  return low;
}
