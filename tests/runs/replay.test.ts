import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeManifest } from "tenon/artifacts";
import { loadRun, MemoryStore, replay, train } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let folder: string;
let store: MemoryStore;
let executionId: string;
const path = () => join(folder, "text.txt");

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tenon-replay-"));
  await writeFile(path(), "the quick brown fox jumps over the lazy dog. ".repeat(60));
  store = new MemoryStore();
  const config = {
    data: { text: path() },
    model: { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16 },
    training: { steps: 8, batchSize: 2, blockSize: 16, evalEvery: 4, checkpointEvery: 4, sampleEvery: 0, dropout: 0.1 },
  };
  executionId = (await train(config, { store })).executionId;
});
afterAll(() => rm(folder, { recursive: true }));

/** The store with one file of the run changed. */
async function edited(name: string, change: (text: string) => string): Promise<MemoryStore> {
  const copy = new MemoryStore();
  const visit = async (at: string): Promise<void> => {
    for (const entry of await store.list(at)) {
      const place = at === "" ? entry.name : `${at}/${entry.name}`;
      if (entry.kind === "folder") await visit(place);
      else await copy.write(place, await store.read(place));
    }
  };
  await visit("");
  const text = new TextDecoder().decode(await copy.read(`${executionId}/${name}`));
  await copy.write(`${executionId}/${name}`, new TextEncoder().encode(change(text)));
  return copy;
}

describe("replay", () => {
  test("an untouched run gives equal bits, and nothing is added to its store", async () => {
    const before = (await store.list("")).length;
    const answer = await replay(executionId, { store });
    expect(answer.verdict).toBe("equal bits");
    expect(answer.steps).toBe(8);
    expect(answer.forced).toBe(false);
    expect((await store.list("")).length).toBe(before);
  });

  test("a changed loss is found at its step", async () => {
    let lines = 0;
    const changed = await edited("metrics.jsonl", (text) =>
      text.replace(/"loss":([\d.]+)/g, (all) => (++lines === 3 ? '"loss":1.5' : all)),
    );
    const answer = await replay(executionId, { store: changed });
    expect(answer.verdict).toBe("differs");
    expect(answer.difference).toMatchObject({ step: 3, what: "loss", expected: 1.5 });
    expect(answer.statement).toMatch(/^Differs from step 3: loss was 1.5, now /);
  });

  test("another package version is refused, and run and marked with force", async () => {
    const { manifest } = await loadRun(executionId, { store });
    const older = await edited("manifest.json", () =>
      writeManifest({ ...manifest, package: { name: "tenon", version: "0.0.1" } }),
    );
    await expect(replay(executionId, { store: older })).rejects.toThrow(/made by tenon 0\.0\.1/);
    const answer = await replay(executionId, { store: older, force: true });
    expect(answer).toMatchObject({ verdict: "equal bits", forced: true });
  });

  test("data that moved and data that changed", async () => {
    const moved = await edited("config.json", (text) => text.replace("text.txt", "gone.txt"));
    await expect(replay(executionId, { store: moved })).rejects.toThrow(/gone\.txt: cannot be read, no such file/);
    expect((await replay(executionId, { store: moved, data: { text: path() } })).verdict).toBe("equal bits");
    const other = join(folder, "other.txt");
    await writeFile(other, "a different story about something else. ".repeat(70));
    await expect(replay(executionId, { store, data: { text: other } })).rejects.toThrow(
      /the data are not those of the run/,
    );
  });
});
