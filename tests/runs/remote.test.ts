import { MessageChannel } from "node:worker_threads";
import { ConfigError } from "tenon";
import { connect, type Endpoint, MemoryStore, serveTraining, type TrainingEvent, train } from "tenon/runs";
import { afterEach, describe, expect, it } from "vitest";

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
    expect(await run).toEqual(inPlace);
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
    expect(events.at(-1)).toEqual({ type: "done", result: inPlace });
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
