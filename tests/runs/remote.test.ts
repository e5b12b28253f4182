import { MessageChannel, Worker } from "node:worker_threads";
import { ConfigError, RunError } from "tenon";
import {
  connect,
  type Endpoint,
  listRuns,
  MemoryStore,
  openStore,
  serveTraining,
  type TrainingEvent,
  train,
} from "tenon/runs";
import { afterEach, describe, expect, it, vi } from "vitest";

const config = (steps: number, more: object = {}) => ({
  data: { corpus: "tales", length: 3000 },
  model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
  training: { steps, batchSize: 2, blockSize: 8, evalEvery: 1000, sampleEvery: 0 },
  ...more,
});

/** Two ends of one line: a worker's and a page's. */
function line() {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  return [port1, port2] as unknown as [Endpoint, Endpoint];
}
const ports: { close(): void }[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

describe("training on the other end of a line", () => {
  it("gives the events and the result that training in place gives", async () => {
    const [there, here] = line();
    serveTraining(there, { store: new MemoryStore() });
    const run = connect(here).train(config(4));
    const events: TrainingEvent[] = [];
    for await (const event of run) events.push(event);
    const inPlace = await train(config(4), { store: new MemoryStore() });
    // How much memory the process keeps for later depends on what ran before.
    const same = { ...inPlace, memory: expect.objectContaining({ peak: expect.any(Number) }) };
    expect(await run).toEqual(same);
    expect(events.map(({ type }) => type)).toEqual([
      "start",
      "step",
      "step",
      "step",
      "step",
      "eval",
      "checkpoint",
      "done",
    ]);
    expect(events.at(-1)).toEqual({ type: "done", result: same });
  });

  it("stops when asked, and goes on there", async () => {
    const [there, here] = line();
    serveTraining(there, { store: new MemoryStore() });
    const remote = connect(here);
    const run = remote.train(config(100_000));
    for await (const event of run) if (event.type === "step" && event.step === 3) break;
    const stopped = await run.stop();
    expect(stopped.stopped).toBe(true);
    expect(stopped.steps).toBeLessThan(100_000);
  });

  it("stops when asked in the turn that started it", async () => {
    const [there, here] = line();
    serveTraining(there, { store: new MemoryStore() });
    const stopped = await connect(here).train(config(300)).stop();
    expect(stopped.stopped).toBe(true);
    expect(stopped.steps).toBeLessThan(300);
  });

  it("takes a config for one, also with a name that only training in code has", async () => {
    const [there, here] = line();
    serveTraining(there, { store: new MemoryStore() });
    const { data: _, ...rest } = config(1, { optimizer: "adamw" });
    await expect(connect(here).train(rest as never)).rejects.toThrow(/"optimizer" is not a known key/);
  });

  it("throws the errors of the other end as what they are", async () => {
    const [there, here] = line();
    serveTraining(there, { store: new MemoryStore() });
    const error = await connect(here)
      .train(config(1, { sed: 1 }))
      .result.catch((caught) => caught);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(/"sed" is not a known key. Did you mean "seed"\?$/);
    expect(error.hint).toBe('Did you mean "seed"?');
  });

  it.each([
    [
      "the batch size that fits",
      { memoryBudget: 20_000 },
      { name: "MemoryBudgetError", batchSize: expect.any(Number) },
    ],
    ["what the system said", { data: { text: "nowhere.txt" } }, { name: "DataError", where: "nowhere.txt" }],
  ])("carries all that an error holds: %s", async (_, more, held) => {
    const [there, here] = line();
    serveTraining(there, { store: new MemoryStore() });
    const caught = (run: PromiseLike<unknown>) => run.then(undefined, (error) => error);
    const error = await caught(connect(here).train(config(1, more)));
    const inPlace = await caught(train(config(1, more), { store: new MemoryStore() }));
    expect({ ...error, ...error.details }).toMatchObject(held);
    expect([error.message, error.constructor]).toEqual([inPlace.message, inPlace.constructor]);
    expect(error.details).toEqual(inPlace.details);
    expect({ ...error }).toEqual({ ...inPlace });
    expect({ ...error.cause }).toEqual({ ...inPlace.cause });
  });

  const served = `const { parentPort } = require("node:worker_threads"); parentPort.once("message", ({ id }) => {
    parentPort.postMessage({ tenon: "event", id, event: { type: "start", executionId: "abc-1" } });`;
  it.each([
    [
      "ends by itself",
      `${served} setTimeout(() => process.exit(3), 50); });`,
      /got one that ended by itself, with exit code 3\./,
    ],
    ["fails", `${served} setTimeout(() => { throw new TypeError("boom"); }, 50); });`, /got an error in it: boom\./],
  ])("says so when the worker %s, then and for runs to come", async (_, script, got) => {
    const worker = new Worker(script, { eval: true });
    const remote = connect(worker);
    const [first, second] = [remote.train(config(4)), remote.train(config(4))];
    void second.result.catch(() => undefined);
    const error = await first.result.catch((caught) => caught);
    expect(error).toBeInstanceOf(RunError);
    expect(error.message).toMatch(got);
    expect(error.hint).toMatch(/go on from the last checkpoint: train\(config, \{ resume: "abc-1" \}\)/);
    await expect(second.result).rejects.toThrow(/Make a new one, and train there/);
    await expect(remote.train(config(4)).result).rejects.toThrow(got);
  });

  it("says so when the port of the other end is closed", async () => {
    const [there, here] = line();
    const run = connect(here).train(config(4));
    void run.result.catch(() => undefined);
    there.postMessage({ other: true });
    (there as unknown as MessagePort).close();
    await expect(run.result).rejects.toThrow(/lives as long as its runs, got one whose port was closed\./);
  });

  it("says so when the worker never speaks, and waits for one that has spoken", async () => {
    const [there, here] = line();
    there.on!("message", () => there.postMessage("another program's"));
    const [answering, asking] = line();
    answering.on!("message", ({ id }) => answering.postMessage({ tenon: "received", id }));
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const [silent, slow] = [connect(here).train(config(4)), connect(asking).train(config(4))];
      const error = silent.result.catch((caught) => caught);
      const ended = vi.fn();
      void slow.result.then(ended, ended);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await vi.advanceTimersByTimeAsync(59_000);
      expect(await Promise.race([error, "waiting"])).toBe("waiting");
      await vi.advanceTimersByTimeAsync(600_000);
      expect(await error).toBeInstanceOf(RunError);
      expect((await error).message).toBe(
        "connect: needs a worker that lives as long as its runs, got one that said nothing for 60 s. Call serveTraining() in the worker, once, when its script begins.",
      );
      expect(ended).not.toHaveBeenCalled();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("refuses what is no end of a line, and no store", async () => {
    const typed = (start: () => unknown) => {
      expect(start).toThrow(ConfigError);
      return expect(start);
    };
    typed(() => connect(undefined as never)).toThrow(
      "connect: needs a Worker or a MessagePort, got undefined. For example connect(new Worker(url, ",
    );
    typed(() => connect({ postMessage() {} })).toThrow("connect: needs a Worker or a MessagePort, got an object.");
    typed(() => serveTraining({} as never)).toThrow("serveTraining: needs a Worker or a MessagePort, got an object.");
    const store = {} as never;
    typed(() => openStore(store)).toThrow("openStore: needs a store or the path of a folder, got an object.");
    await expect(listRuns({ store })).rejects.toThrow(
      "listRuns: needs a store or the path of a folder, got an object.",
    );
    for (const options of [{ store }, { store, resume: "abc" }]) {
      await expect(train(config(1), options).result).rejects.toThrow(
        "train: needs a store or the path of a folder, got an object.",
      );
    }
  });

  it("keeps runs apart, and leaves foreign messages alone", async () => {
    const [there, here] = line();
    serveTraining(there, { store: new MemoryStore() });
    const remote = connect(here);
    here.postMessage("hello");
    there.postMessage({ other: true });
    const [a, b] = await Promise.all([remote.train(config(2)), remote.train(config(2, { seed: 9 }))]);
    expect(a.runId).not.toBe(b.runId);
    expect(a.weightsHash).not.toBe(b.weightsHash);
  });
});

describe("what a message cannot carry", () => {
  it("in a config is refused here", async () => {
    const [there, here] = line();
    serveTraining(there, { store: new MemoryStore() });
    const remote = connect(here);
    const stream = new ReadableStream();
    for (const given of [config(2, { data: { text: stream } }), config(2, { model: { f() {} } })]) {
      const error = await remote.train(given as never).result.catch((error) => error);
      expect(error).toBeInstanceOf(ConfigError);
      expect(error.message).toMatch(/^connect: needs a config that a message can carry, got .* Functions and streams/);
    }
    expect((await remote.train(config(2))).steps).toBe(2);
  });

  it("in a warning stays there, and the run goes on", async () => {
    const [there, here] = line();
    const write = () => {
      throw { retry() {} };
    };
    serveTraining(there, { store: new MemoryStore(), sinks: [{ name: "thrower", write }] });
    const run = connect(here).train(config(4));
    const warnings: TrainingEvent[] = [];
    for await (const event of run) if (event.type === "warning") warnings.push(event);
    expect((await run).steps).toBe(4);
    expect(warnings).toMatchObject([{ code: "sink-failed", details: { sink: "thrower" } }]);
  });
});
