import { describe, expect, test } from "vitest";
import { createSchedule, LambdaLR, type Optimizer, type ScheduleName } from "../../src/optim/index.js";

const at = (name: ScheduleName, steps: readonly number[], minFactor = 0) =>
  steps.map(createSchedule(name, { steps: 110, warmupSteps: 10, minFactor }));

describe("schedules", () => {
  test("warm up in a straight line", () => {
    for (const name of ["constant", "linear", "cosine"] as const) {
      expect(at(name, [0, 4, 9, 10])).toEqual([1 / 11, 5 / 11, 10 / 11, 1]);
    }
  });

  test("then stay, fall, or fall along a cosine", () => {
    expect(at("constant", [60, 500])).toEqual([1, 1]);
    expect(at("linear", [60, 110, 500], 0.1)).toEqual([0.55, 0.1, 0.1]);
    const [quarter, half, end] = at("cosine", [35, 60, 110], 0.1);
    expect(quarter).toBeCloseTo(0.1 + 0.9 * 0.5 * (1 + Math.SQRT1_2), 14);
    expect(half).toBeCloseTo(0.55, 14);
    expect(end).toBeCloseTo(0.1, 14);
  });

  test("numbers that are none are refused, not learnt with", () => {
    expect(() => createSchedule("cosine", { steps: 9, warmupSteps: "1" as any })).toThrow('for warmupSteps, got "1".');
    expect(() => createSchedule("linear", { steps: 9, minFactor: Number.NaN })).toThrow("for minFactor, got NaN.");
  });

  test("an unknown name suggests the nearest", () => {
    expect(() => createSchedule("cosin" as ScheduleName, { steps: 1 })).toThrow('Did you mean "cosine"?');
  });
});

test("LambdaLR keeps the ratio of groups and restores its place", () => {
  const make = () =>
    ({ groups: [{ options: { lr: 1 } }, { options: { lr: 0.5 } }] }) as unknown as Optimizer<{ lr: number }>;
  const rates = (optimizer: Optimizer<{ lr: number }>) => optimizer.groups.map(({ options }) => options.lr);
  const optimizer = make();
  const scheduler = new LambdaLR(optimizer, (step) => 1 / (step + 1));
  expect(rates(optimizer)).toEqual([1, 0.5]);
  scheduler.step();
  expect(rates(optimizer)).toEqual([0.5, 0.25]);
  const other = make();
  const restored = new LambdaLR(other, (step) => 1 / (step + 1));
  restored.loadStateDict(JSON.parse(JSON.stringify(scheduler.stateDict())));
  restored.step();
  expect(rates(other)).toEqual([1 / 3, 0.5 / 3]);
  const load = (state: unknown) => () => restored.loadStateDict(state as any);
  expect(load({ step: 0, baseRates: [1] })).toThrow("LambdaLR: loadStateDict: needs 2 rates, got [1].");
  expect(load({ step: 0, baseRates: [1, "2"] })).toThrow('needs 2 rates, got [1, "2"].');
  expect(load({ step: -1, baseRates: [1, 2] })).toThrow("needs a whole number from 0 up for step, got -1.");
  expect(load(undefined)).toThrow("needs a whole number from 0 up for step, got undefined.");
  expect(rates(other)).toEqual([1 / 3, 0.5 / 3]);
  expect(() => new LambdaLR(other, 0.1 as any)).toThrow(
    "LambdaLR: needs a function from a step to a factor, got a number. For example cosineSchedule(",
  );
  expect(() => new LambdaLR(other, (() => {}) as any)).toThrow(
    "LambdaLR: needs a number from its schedule, got undefined at step 0.",
  );
  expect(() => new LambdaLR({} as never, () => 1)).toThrow("LambdaLR: needs an optimizer, got an object.");
});
