/** Data that can be read only once: kept in the store first, so that the run resumes and replays. */
import { loadDataReference, loadRun, MemoryStore, replay, reproduce, train, verify } from "tenon/runs";
import { describe, expect, test } from "vitest";
import { sha256Hex } from "../../src/core/sha256.js";

const text = "the owl hears the mouse and the mouse hears the owl. ".repeat(30);
const rest = {
  model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
  training: { steps: 4, batchSize: 2, blockSize: 8, evalEvery: 4, checkpointEvery: 2, sampleEvery: 0 },
  device: "cpu",
} as const;

async function* pieces() {
  yield text.slice(0, 100);
  yield new TextEncoder().encode(text.slice(100));
}

const streams = [
  ["an async iterable", pieces],
  ["a ReadableStream", () => new Blob([text]).stream()],
] as const;

describe.each(streams)("training from %s", (_, open) => {
  test("keeps it under its hash, and is the run of a file with that content", async () => {
    const store = new MemoryStore();
    const { executionId, runId } = await train({ data: { text: open() }, ...rest }, { store });
    const run = await loadRun(executionId, { store });
    expect(run.manifest.provisional).toBeUndefined();
    const hash = sha256Hex(text);
    expect(await run.config()).toMatchObject({ data: { text: `sha256:${hash}` } });
    expect(await loadDataReference(hash.slice(0, 8), { store })).toMatchObject({ path: `blobs/data/${hash}` });
    expect(await verify(executionId, { store })).toMatchObject({ ok: true, notes: [] });
    const ofFile = await train({ data: { text: new File([text], "owl.txt") }, ...rest }, { store: new MemoryStore() });
    expect(ofFile.runId).toBe(runId);

    expect((await replay(executionId, { store })).verdict).toBe("equal bits");
    await expect(reproduce(run.manifest)).rejects.toThrow(/it needs sha256:/);
    expect((await reproduce(run.manifest, { data: new Blob([text]) })).verdict).toBe("equal bits");
  });
});

test("a run of a stream is resumed in another process, where nobody holds the stream", async () => {
  const store = new MemoryStore();
  const run = train({ data: { text: pieces() }, ...rest }, { store });
  for await (const event of run) if (event.type === "step" && event.step === 2) void run.stop();
  const { executionId, steps } = await run;
  expect(steps).toBeLessThan(4);
  const resumed = await train(undefined as never, { store, resume: executionId });
  const undisturbed = await train({ data: { text: pieces() }, ...rest }, { store: new MemoryStore() });
  expect(resumed.weightsHash).toBe(undisturbed.weightsHash);
});

test("a table may come as a stream", async () => {
  async function* rows() {
    yield "a,b,kind\n";
    for (let i = 0; i < 40; i++) yield `${i % 7},${i % 5},${i % 2 ? "odd" : "even"}\n`;
  }
  const store = new MemoryStore();
  const training = { steps: 2, batchSize: 4 };
  const { executionId } = await train({ data: { csv: rows(), target: "kind" }, training, device: "cpu" }, { store });
  expect((await store.list("blobs/data")).length).toBe(1);
  expect((await replay(executionId, { store })).verdict).toBe("equal bits");
});

test("a config that is wrong is told before a stream is read; data that the store lost are told by their hash", async () => {
  let read = false;
  async function* never() {
    read = true;
    yield text;
  }
  const store = new MemoryStore();
  const wrong = train({ data: { text: never() }, training: { steps: 0 } }, { store });
  await expect(wrong.result).rejects.toThrow(/training\.steps/);
  expect(read).toBe(false);
  expect(await store.list("")).toEqual([]);

  const { executionId } = await train({ data: { text: pieces() }, ...rest }, { store });
  const path = `blobs/data/${sha256Hex(text)}`;
  await store.append(path, new Uint8Array([46]));
  expect((await verify(executionId, { store })).problems.join()).toMatch(/blobs\/data\/.*: the data changed/);
  await store.remove("blobs");
  await expect(replay(executionId, { store })).rejects.toThrow(/holds no data with SHA-256 [0-9a-f]{64}/);
  const elsewhere = await replay(executionId, { store, data: { text: new Blob([text]) } });
  expect(elsewhere.verdict).toBe("equal bits");
});
