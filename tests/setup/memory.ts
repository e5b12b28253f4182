/** After every test, what it allocated has gone: tensors, graphs, optimizer state. Loaded by `vitest.config.ts`. */
import { afterEach, beforeEach, expect } from "vitest";
import { memory, provideReference } from "../../src/backend/devices.js";
import { createReferenceBackend } from "../../src/backend/reference/backend.js";

// Tests compare devices: the reference is at hand everywhere.
provideReference(createReferenceBackend);

let before = 0;
beforeEach(() => {
  before = memory().live;
});

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") return; // its error holds on to what it shows
  if (!globalThis.gc) return; // an engine that nobody can ask (Firefox)
  // Tensors outside of scopes go when the collector finds them; finalizers run in a later task.
  for (let tries = 0; tries < 10 && memory().live > before; tries++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 10 * tries)); // pages run finalizers when they find the time
  }
  expect(memory().live, "bytes that live on after the test").toBeLessThanOrEqual(before);
});
