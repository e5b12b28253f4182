import {
  type Capabilities,
  createModel,
  DeterminismError,
  defineOp,
  getRngState,
  type InitOptions,
  init,
  intercept,
  manualSeed,
  ones,
  rand,
  randn,
  run,
  setRngState,
  setWarningListener,
  tensor,
  type Warning,
} from "tenon";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DefaultGenerator, setDeterminism } from "../../src/core/determinism.js";
import { getDefaultGenerator } from "../../src/tensor/create.js";

let warnings: Warning[] = [];
let listener: ReturnType<typeof setWarningListener>;
beforeEach(() => {
  warnings = [];
  listener = setWarningListener((warning) => warnings.push(warning));
});
afterEach(async () => {
  setDeterminism("warn");
  await init({ device: "cpu", numerics: "portable", threads: 1 });
  setWarningListener(listener);
});

const refused = (options: InitOptions): Promise<Capabilities> => init({ deterministic: true, ...options });

describe("init({ deterministic: true })", () => {
  test.each([
    [{ device: "webgpu" } as const, 'deterministic: true refuses device "webgpu".'],
    [{ device: "cpu", numerics: "fast" } as const, 'deterministic: true refuses numerics "fast".'],
    [{ device: "webgpu", numerics: "fast" } as const, 'refuses device "webgpu" and numerics "fast".'],
  ])("refuses %j before anything is opened, by name", async (options, message) => {
    await expect(refused(options)).rejects.toThrow(message);
    await expect(refused(options)).rejects.toThrow(/docs\/determinism\.md/);
    await expect(refused(options)).rejects.toBeInstanceOf(DeterminismError);
  });

  test("takes no other word", async () => {
    await expect(init({ deterministic: "yes" as never })).rejects.toThrow(
      'init: needs true, false or "warn" for deterministic, got "yes".',
    );
  });

  test("auto is the CPU", async () => {
    expect((await refused({ device: "auto" })).device).toBe("cpu");
  });

  test("refuses randomness without a seed, and takes it with one", async () => {
    const state = getRngState();
    getDefaultGenerator().seeded = false;
    await refused({ device: "cpu" });
    expect(() => rand([2])).toThrow(/^rand \(default generator\): is refused by deterministic: true\..*manualSeed/);
    const tiny = { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 4, n_positions: 4, vocab_size: 4 };
    await expect(createModel(tiny)).rejects.toThrow(/default generator\): is refused/);
    manualSeed(3);
    expect(rand([2]).shape).toEqual([2]);
    setRngState(state);
  });

  test("refuses an op that is marked, and warns of it once where it is only asked to warn", async () => {
    const scatter = defineOp({
      name: "unorderedSum",
      doc: "A sum in any order.",
      inputs: ["x"],
      deterministic: false,
      composition: ([x]) => x.sum(),
    });
    const x = ones([3]);
    for (let i = 0; i < 2; i++) scatter(x).dispose();
    expect(warnings.filter(({ code }) => code === "not-deterministic").map(({ message }) => message)).toEqual([
      expect.stringMatching(/^unorderedSum: .*docs\/determinism\.md/),
    ]);
    await refused({ device: "cpu" });
    expect(() => scatter(x)).toThrow(/^unorderedSum: is refused by deterministic: true/);
    await init({ device: "cpu", deterministic: false });
    scatter(x).dispose();
    x.dispose();
  });
});

test('"warn" tells of fast numerics once, and false does not', async () => {
  const told = () => warnings.filter(({ message }) => message.startsWith('numerics "fast"')).length;
  await init({ device: "cpu", numerics: "fast", deterministic: false });
  expect(told()).toBe(0);
  await init({ deterministic: "warn", device: "cpu" });
  await init({ device: "cpu" });
  expect(told()).toBe(1);
});

test('"warn" tells of randomness without a seed at the first draw, with the page to read; a seed or false ends it', async () => {
  const told = () => warnings.filter(({ code }) => code === "not-deterministic").map(({ message }) => message);
  const unseeded = () => new DefaultGenerator(0);
  const generator = unseeded();
  for (let i = 0; i < 3; i++) rand([2], { generator }).dispose();
  randn([2], { generator }).dispose();
  expect(told()).toEqual([expect.stringMatching(/^rand \(default generator\): .*manualSeed\(seed\).*determinism\.md/)]);
  warnings = [];
  const seeded = unseeded();
  seeded.setState({ seed: 1, calls: {} });
  rand([2], { generator: seeded }).dispose();
  await init({ device: "cpu", deterministic: false });
  rand([2], { generator: unseeded() }).dispose();
  expect(told()).toEqual([]);
});

describe("run", () => {
  const numbers = async () => [...(await randn([4]).data()), ...(await rand([2]).data())];

  test("twice gives the same bits, whatever was drawn before", async () => {
    const first = await run(numbers, { seed: 5 });
    rand([7]);
    expect(await run(numbers, { seed: 5 })).toEqual(first);
    expect(await run(numbers, { seed: 6 })).not.toEqual(first);
  });

  test("leaves everything as it was, also after a throw", async () => {
    manualSeed(11);
    rand([3]);
    const state = getRngState();
    let seen = 0;
    const work = run(
      async () => {
        intercept((_, next) => {
          seen++;
          return next();
        });
        await randn([2]).mul(2).data();
        throw new Error("half way");
      },
      { numerics: "fast", deterministic: false },
    );
    await expect(work).rejects.toThrow("half way");
    expect(seen).toBeGreaterThan(0);
    const after = seen;
    await tensor([1]).mul(2).data();
    expect(seen).toBe(after);
    expect(getRngState()).toEqual(state);
    expect((await init({ device: "cpu" })).numerics).toBe("portable");
    const first = await run(numbers, { seed: 5 });
    expect(await run(numbers, { seed: 5 })).toEqual(first);
  });

  test("options that it does not know are refused", async () => {
    await expect(run(() => 1, { sed: 3 } as object)).rejects.toThrow('run: has no option "sed". Did you mean "seed"?');
  });

  test("two at a time are refused: they would share their state", async () => {
    const first = run(async () => rand([1]).item());
    await expect(run(() => 1)).rejects.toThrow("run: another run is at work");
    await first;
    expect(await run(() => 1)).toBe(1);
  });
});
