import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { capabilities, init } from "tenon";
import { type RunManifest, writeManifest } from "tenon/artifacts";
import { loadRun, MemoryStore, replay, type TrainingConfigInput, train, verify } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { determinism } from "../../src/core/determinism.js";

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

  test.each([
    ["without a clock", undefined],
    ["with one", () => performance.now()],
  ])("a run that was stopped between two records is compared up to its last weights, %s", async (_, clock) => {
    const kept = new MemoryStore();
    const stopped = train(
      {
        data: { text: path() },
        model: { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16 },
        training: { steps: 90, batchSize: 2, blockSize: 16, evalEvery: 90, logEvery: 90, sampleEvery: 0 },
      },
      { store: kept },
    );
    for await (const event of stopped) if (event.type === "step" && event.step === 5) break;
    const { steps, executionId: id } = await stopped.stop();
    expect(steps).toBeLessThan(90);
    const answer = await replay(id, { store: kept, clock });
    expect(answer.statement).toBe(`Equal bits: ${steps} steps gave the recorded weights.`);

    const checkpoint = `${id}/checkpoints/step-${String(steps).padStart(6, "0")}/checkpoint.json`;
    const list = new TextDecoder().decode(await kept.read(checkpoint));
    const [, hash] = /"model\.safetensors": \{[^}]*"sha256": "(\w+)"/.exec(list)!;
    await kept.write(checkpoint, new TextEncoder().encode(list.replace(hash, "0".repeat(64))));
    expect((await replay(id, { store: kept, clock })).statement).toMatch(
      `Differs from step ${steps}: weights was 0000`,
    );

    await kept.remove(`${id}/checkpoints`);
    await expect(replay(id, { store: kept, clock })).rejects.toThrow(/recorded nothing to compare/);
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

  test("other weights under equal losses are found at their checkpoint", async () => {
    const changed = await edited("checkpoints/step-000004/checkpoint.json", (text) =>
      text.replace(/("model\.safetensors":\s*\{[^}]*"sha256":\s*")[0-9a-f]{8}/, "$100000000"),
    );
    const answer = await replay(executionId, { store: changed });
    expect(answer.difference).toMatchObject({ step: 4, what: "weights" });
    expect(answer.statement).toMatch(/^Differs from step 4: weights was 00000000[0-9a-f]+, now [0-9a-f]{64}\.$/);
  });

  /** The run as if its manifest were another, and the loss of step 3 had been `factor` times what it was. */
  const claimed = async (change: (manifest: RunManifest) => Partial<RunManifest>, factor: number) => {
    const { manifest } = await loadRun(executionId, { store });
    const changed = await edited("manifest.json", () => writeManifest({ ...manifest, ...change(manifest) }));
    const path = `${executionId}/metrics.jsonl`;
    const text = new TextDecoder().decode(await changed.read(path));
    const other = text.replace(/("step":3,.*?"loss":)([\d.]+)/, (_, start, loss) => start + Number(loss) * factor);
    await changed.write(path, new TextEncoder().encode(other));
    return changed;
  };

  test("a difference comes with what else is different: engine, system, build", async () => {
    const there = await claimed(
      (manifest) => ({
        package: { ...manifest.package, buildHash: "b".repeat(64) },
        environment: { ...manifest.environment, v8: "9.9", threads: 64 },
      }),
      2,
    );
    const { verdict, explanations, forced } = await replay(executionId, { store: there });
    expect([verdict, forced]).toEqual(["differs", false]);
    const text = explanations.join("\n");
    expect(text).toMatch(/another build of tenon .*: it was bbbbbbbbbbbb…, this is none: a source checkout/);
    expect(text).toMatch(/v8 was 9\.9, is \d/);
    expect(text, "threads change no bit").not.toMatch(/threads/);
    expect((await verify(executionId, { store: there })).notes.join()).toMatch(/was made by another build of tenon/);
  });

  test("where the promise is a tolerance, differences below it are within it, and larger ones are not", async () => {
    const determinism = { promise: "tolerance", statement: "Close.", tolerances: { loss: 1e-3 } } as const;
    const close = await replay(executionId, { store: await claimed(() => ({ determinism }), 1 + 1e-4) });
    expect(close.verdict).toBe("within tolerance");
    expect(close.statement).toMatch(/^Within tolerance 0\.001: largest difference 1\.0e-4 at step 3\.$/);
    expect(close.steps).toBe(8);
    const apart = await claimed(() => ({ determinism }), 1.01);
    const path = `${executionId}/metrics.jsonl`;
    const text = new TextDecoder().decode(await apart.read(path));
    await apart.write(path, new TextEncoder().encode(text.replace(/("step":1,.*?"loss":[\d.]+)\d,/, "$11,")));
    const far = await replay(executionId, { store: apart });
    expect(far.statement, "step 1 differs in its last digit alone").toMatch(
      /^Differs from step 3: loss was [\d.]+, now [\d.]+\.$/,
    );
    expect((await replay(executionId, { store: await claimed(() => ({ determinism }), 1) })).verdict).toBe(
      "equal bits",
    );
  });

  test("a machine without the run's numerics is told, and run by force and marked", async () => {
    const { fusedMultiplyAdd } = await init({ device: "cpu", numerics: "fast", deterministic: false });
    const there = await claimed(
      ({ environment }) => ({
        numerics: "fast",
        environment: { ...environment, fusedMultiplyAdd: !fusedMultiplyAdd },
      }),
      1,
    );
    await expect(replay(executionId, { store: there })).rejects.toThrow(
      /made with fast numerics, with(out)? fused multiply-add, and this machine or engine/,
    );
    expect(await replay(executionId, { store: there, force: true })).toMatchObject({ forced: true });
    await init({ device: "cpu", numerics: "portable" });
  });

  test("device, numerics and determinism of a replay end with it", async () => {
    const { fusedMultiplyAdd } = await init({ device: "cpu", numerics: "fast", deterministic: false });
    const there = await claimed(
      ({ environment }) => ({ numerics: "fast", environment: { ...environment, fusedMultiplyAdd } }),
      1,
    );
    await init({ device: "reference", numerics: "portable", deterministic: true });
    try {
      await replay(executionId, { store: there });
      expect([determinism(), capabilities().device]).toEqual([true, "reference"]);
      // Fast numerics would be refused.
      await init({ device: "cpu" });
    } finally {
      await init({ device: "cpu", numerics: "portable", deterministic: "warn" });
    }
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

  test.each([
    ["a text that begins with a mark of its encoding", "marked.txt", (text: string) => `\ufeff${text}`, { text: "" }],
    ["compressed rows", "rows.csv.gz", (text: string) => gzipSync(text), { csv: "", target: "y" }],
  ])("verifying knows %s", async (_, name, bytes, data) => {
    const there = join(folder, name);
    const content = "text" in data ? "a line of text.\n" : "x,y\n1,a\n2,b\n";
    const write = (more: string) => writeFile(there, bytes(content.repeat(30).replaceAll("\nx,y", "") + more));
    await write("");
    const kind = "text" in data ? "text" : "csv";
    const config = { data: { ...data, [kind]: there }, training: { steps: 1, blockSize: 8, batchSize: 2 } };
    const run = await train(config as TrainingConfigInput, { store });
    expect((await verify(run.executionId, { store, data: true })).problems).toEqual([]);
    await write("3,a\n");
    expect((await verify(run.executionId, { store, data: true })).problems.join()).toMatch(/the data changed, SHA-256/);
    await writeFile(there, Uint8Array.of(0x1f, 0x8b, 8, 1, 2, 3));
    expect((await verify(run.executionId, { store, data: true })).problems.join()).toMatch(/the data changed/);
  });
});
