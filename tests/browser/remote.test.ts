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

test("a run on a File goes on in a worker with the same File given again", async () => {
  const worker = new Worker(new URL("../setup/train-worker.ts", import.meta.url), { type: "module" });
  try {
    const remote = connect(worker);
    const text = new File(["the owl hears the mouse. ".repeat(60)], "owl.txt");
    const given = { ...config, data: { text }, training: { ...config.training, steps: 300 } };
    const run = remote.train(given);
    for await (const event of run) if (event.type === "step" && event.step === 2) void run.stop();
    const { executionId, stopped } = await run;
    expect(stopped).toBe(true);
    const { weightsHash } = await remote.train(given, { resume: executionId });
    expect(weightsHash).toBe((await train(given, { store: new MemoryStore() })).weightsHash);
    const other = remote.train({ ...given, seed: 2 }, { resume: executionId });
    await expect(other.result).rejects.toThrow(/its config changed: seed was 1337, is 2/);
  } finally {
    worker.terminate();
    const root = await navigator.storage.getDirectory();
    await root.removeEntry("worker-runs", { recursive: true }).catch(() => undefined);
  }
});

test("addresses are relative to the page, not to the worker's script", async () => {
  const sent = async (data: object, tokenizer?: string) => {
    const listeners: Record<string, (event: unknown) => void> = {};
    const requests: { config: object }[] = [];
    const run = connect({
      postMessage: (request) => void requests.push(request as { config: object }),
      addEventListener: (type, listener) => void (listeners[type] = listener),
    }).train({ data, ...(tokenizer && { tokenizer }) });
    await expect.poll(() => requests.length).toBe(1);
    const [{ config }] = requests;
    listeners["close"]({});
    await expect(run.result).rejects.toThrow(/whose port was closed/);
    return config;
  };
  const at = (address: string) => new URL(address, document.baseURI).href;
  const file = new File(["text"], "a.txt");
  const blob = URL.createObjectURL(file);
  const pasted = "no address\nbut a text";
  expect(
    await sent({ text: ["a/b.txt", "/c.txt", file, blob, new URL("d.txt", at(".")), pasted, "sha256:ab", ""] }),
  ).toEqual({
    data: { text: [at("a/b.txt"), at("/c.txt"), file, blob, at("d.txt"), pasted, "sha256:ab", ""] },
  });
  expect(await sent({ idx: "i.idx", labels: "l.idx", target: "kind" }, "tokenizer.json")).toEqual({
    data: { idx: at("i.idx"), labels: at("l.idx"), target: "kind" },
    tokenizer: at("tokenizer.json"),
  });
  expect(await sent({ corpus: "tales", column: "a" }, "byte")).toEqual({
    data: { corpus: "tales", column: "a" },
    tokenizer: "byte",
  });
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
