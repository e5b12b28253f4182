/** Runs at work at once: they share the device of the process, so one must not change what another computes with. */
import { init, memory, setWarningListener, type Warning } from "tenon";
import { listRuns, loadRun, MemoryStore, replay, type Sink, type TrainingRun, train } from "tenon/runs";
import { afterEach, describe, expect, test } from "vitest";

const config = (more: object = {}, training: object = {}) =>
  ({
    data: { corpus: "tales", length: 3000 },
    model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
    training: { steps: 4, batchSize: 2, blockSize: 8, evalEvery: 1000, sampleEvery: 0, ...training },
    device: "cpu",
    threads: 1,
    ...more,
  }) as never;

/** A run that goes on until it is stopped, after its first step; in an object, as awaiting a run awaits its end. */
async function atWork(more: object = {}, options: object = {}): Promise<{ run: TrainingRun }> {
  const run = train(config(more, { steps: 100_000 }), { store: new MemoryStore(), ...options });
  for await (const { type } of run) if (type === "step") break;
  return { run };
}
const short = (more: object = {}) => train(config(more), { store: new MemoryStore() }).result;

afterEach(() => init({ device: "cpu", numerics: "portable" }));

describe("beside a run at work", () => {
  const others: [what: string, first: object, second: object, message: string][] = [
    ["numerics", {}, { numerics: "fast" }, 'train: needs numerics "portable", with which another run is at work'],
    [
      "threads",
      {},
      { threads: 2 },
      "train: needs threads 1, with which another run is at work in this process, got 2. Await",
    ],
    ["a device", {}, { device: "reference" }, 'train: needs device "cpu", with which another run is at work'],
    [
      "a budget",
      { memoryBudget: 2 ** 28 },
      {},
      "train: needs memoryBudget 268435456, with which another run is at work",
    ],
    ["determinism", { deterministic: true }, {}, "train: needs deterministic true, with which another run is at work"],
  ];
  test.each(others)("one with other %s is refused, and changes nothing", async (_, first, second, message) => {
    const { run } = await atWork(first);
    const store = new MemoryStore();
    await expect(train(config(second), { store }).result).rejects.toThrow(message);
    expect(await listRuns({ store })).toEqual([]);
    const { stopped, numerics, threads } = await run.stop();
    expect({ stopped, numerics, threads }).toEqual({ stopped: true, numerics: "portable", threads: 1 });
    expect((await short(second)).steps).toBe(4);
  });

  test("one that starts in any turn after the first gets no other bits", async () => {
    for (const ticks of [0, 1, 2, 3, 5, 7, 11]) {
      const first = short();
      for (let i = 0; i < ticks; i++) await new Promise((resolve) => setTimeout(resolve));
      const second = short({ numerics: "fast" });
      const [a, b] = await Promise.allSettled([first, second]);
      expect([a, b].filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(0);
      if (a.status === "fulfilled") expect(a.value.numerics).toBe("portable");
    }
  });

  test("those that ask for the same, or for no threads, run along", async () => {
    const alone = await short();
    const { run } = await atWork();
    const along = [short(), short({ threads: undefined }), short({ deterministic: false, device: "auto" })];
    for (const { weightsHash } of await Promise.all(along)) expect(weightsHash).toBe(alone.weightsHash);
    expect((await run.stop()).threads).toBe(1);
  });

  test("init reopens nothing", async () => {
    const { run } = await atWork();
    await expect(init({ device: "cpu", threads: 2 })).rejects.toThrow(/^init: needs threads 1, with which another run/);
    await expect(init({ device: "cpu", numerics: "fast" })).rejects.toThrow(/^init: needs numerics "portable"/);
    await expect(init({ memoryBudget: 2 ** 20 })).rejects.toThrow(/^init: needs memoryBudget Infinity/);
    expect((await init()).device).toBe("cpu");
    expect((await run.stop()).stopped).toBe(true);
    expect((await init({ device: "cpu", threads: 2 })).threads).toBe(2);
  });

  test("a replay has the same rule, and runs along where its run did the same", async () => {
    const store = new MemoryStore();
    const { executionId } = await train(config(), { store });
    const { run } = await atWork();
    await expect(replay(executionId, { store, threads: 2 })).rejects.toThrow(/needs threads 1, with which/);
    expect((await replay(executionId, { store })).verdict).toBe("equal bits");
    expect((await run.stop()).stopped).toBe(true);
    expect((await replay(executionId, { store, threads: 2 })).verdict).toBe("equal bits");
  });
});

test("afterwards the process is what it was, though the first to end was not the last at work", async () => {
  await init({ device: "cpu", threads: 2, memoryBudget: 2 ** 30 });
  const { run: first } = await atWork({ memoryBudget: 2 ** 28 });
  const { run: second } = await atWork({ memoryBudget: 2 ** 28 });
  await first.stop();
  await expect(init({ memoryBudget: 2 ** 29 })).rejects.toThrow(/needs memoryBudget 268435456/);
  await second.stop();
  expect((await init({ device: "cpu" })).threads).toBe(2);
  await init({ memoryBudget: undefined });
  expect(memory().live).toBeGreaterThanOrEqual(0);
});

test("warnings go to the run that caused them, and to whoever took them meanwhile", async () => {
  const heard: Warning[] = [];
  const before = setWarningListener(undefined);
  try {
    const { run } = await atWork();
    const events: string[] = [];
    const reading = (async () => {
      for await (const event of run) if (event.type === "warning") events.push(event.code);
    })();
    const thrower: Sink = {
      name: "thrower",
      write: () => {
        throw new Error("no");
      },
    };
    await init({ onWarning: (warning) => heard.push(warning) });
    const other = train(config(), { store: new MemoryStore(), sinks: [thrower] });
    const others: string[] = [];
    for await (const event of other) if (event.type === "warning") others.push(event.code);
    await run.stop();
    await reading;
    expect([events, others]).toEqual([[], ["sink-failed"]]);
    expect(heard.map(({ code }) => code)).toEqual(["sink-failed"]);
    // The listener that was set in the meantime stays.
    expect(setWarningListener(undefined)).toBeDefined();
  } finally {
    setWarningListener(before);
  }
});

test("what fails says from which checkpoint to go on", async () => {
  const store = new MemoryStore();
  const run = train(config({}, { steps: 8, checkpointEvery: 2 }), { store });
  const append = store.append.bind(store);
  let full = false;
  store.append = async (path, bytes) => {
    if (full) throw Object.assign(new (await import("tenon")).RunError(`${path}: the disk is full.`));
    return append(path, bytes);
  };
  for await (const { type } of run) {
    if (type !== "checkpoint") continue;
    full = true;
    break;
  }
  const error = await run.result.catch((error) => error);
  const [{ executionId }] = await listRuns({ store });
  expect(error.message).toContain(
    `the disk is full. Go on from the checkpoint of step 2: train(config, { resume: "${executionId}" })`,
  );
  full = false;
  expect((await train(undefined as never, { store, resume: executionId })).steps).toBe(8);
  expect((await loadRun(executionId, { store })).manifest.status).toBe("done");
});
