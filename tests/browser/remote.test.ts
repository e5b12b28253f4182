import { connect, MemoryStore, OpfsStore, type TrainingEvent, train, verify } from "tenon/runs";
import { expect, test } from "vitest";

const config = {
  data: { corpus: "tales", length: 3000 },
  model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
  training: { steps: 5, batchSize: 2, blockSize: 8, evalEvery: 1000, sampleEvery: 0 },
  device: "cpu",
} as const;

test("a worker trains for the page: same events, same bits as in the page, and the run is kept and verifies", async () => {
  const worker = new Worker(new URL("../setup/train-worker.ts", import.meta.url), { type: "module" });
  try {
    const run = connect(worker).train(config);
    const events: TrainingEvent[] = [];
    for await (const event of run) events.push(event);
    const there = await run;
    const here = await train(config, { store: new MemoryStore() });
    expect(there.weightsHash).toBe(here.weightsHash);
    expect(there.runId).toBe(here.runId);
    expect(there.tokensPerSecond).toBeGreaterThan(0);
    expect(events.filter(({ type }) => type === "step")).toHaveLength(5);
    const { ok, problems } = await verify(there.executionId, { store: new OpfsStore("worker-runs") });
    expect([ok, problems]).toEqual([true, []]);
  } finally {
    worker.terminate();
    const root = await navigator.storage.getDirectory();
    await root.removeEntry("worker-runs", { recursive: true }).catch(() => undefined);
  }
});

test.each([
  ["cannot be loaded", "/nowhere.js", /got one that cannot be loaded\./],
  [
    "fails",
    URL.createObjectURL(new Blob(["onmessage = () => { throw new Error('boom'); };"])),
    /an error in it: .*boom/,
  ],
])("a worker that %s rejects its runs", async (_, url, got) => {
  const worker = new Worker(url);
  worker.addEventListener("error", (event) => event.preventDefault());
  await expect(connect(worker).train(config).result).rejects.toThrow(got);
  worker.terminate();
});
