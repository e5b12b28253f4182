/**
 * Files share a process or a page: each begins with the settings that a new one has, whatever the one before it left.
 * Loaded by `vitest.config.ts`. What is told or made once in a process it cannot bring back; files that test that run alone.
 */
import "tenon"; // first, as it sets the platform and the listener, once in a process
import { afterAll } from "vitest";
import { memoryBudget, setMemoryBudget } from "../../src/backend/storage.js";
import { platform, setPlatform } from "../../src/core/platform.js";
import { setWarningListener } from "../../src/core/warnings.js";
import { holdSettings } from "../../src/tensor/run.js";

// Here, not in `beforeAll`: what a file does at its top comes before that.
const putBack = holdSettings();
const budget = memoryBudget();
const host = platform();
const listener = setWarningListener(undefined);
setWarningListener(listener);

afterAll(() => {
  putBack();
  setMemoryBudget(budget);
  setPlatform(host);
  setWarningListener(listener);
});
