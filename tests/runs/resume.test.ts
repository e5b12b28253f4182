/** Going on with a run: what is given again, and what may not differ. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageChannel } from "node:worker_threads";
import { Generator, randn } from "tenon";
import { connect, type Endpoint, loadRun, MemoryStore, replay, serveTraining, train, verify } from "tenon/runs";
import { describe, expect, test } from "vitest";
import { parseManifest, writeManifest } from "../../src/artifacts/manifest.js";
import { readText, writeText } from "../../src/core/store.js";

const text = "the owl hears the mouse and the mouse hears the owl. ".repeat(30);
const owl = (content = text) => new File([content], "owl.txt");
const rest = {
  model: { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8 },
  training: { steps: 40, batchSize: 2, blockSize: 8, evalEvery: 40, checkpointEvery: 2, sampleEvery: 0 },
} as const;
const config = (place: Blob | string | AsyncIterable<string> = owl()) => ({ data: { text: place }, ...rest });

/** A run that was stopped early, in a store. */
async function stopped(given: object = config()) {
  const store = new MemoryStore();
  const run = train(given as never, { store });
  for await (const event of run) if (event.type === "step" && event.step === 2) void run.stop();
  const { executionId, steps } = await run;
  expect(steps).toBeLessThan(40);
  return { store, resume: executionId };
}
const whole = async () => (await train(config(), { store: new MemoryStore() })).weightsHash;

describe("a run on a File", () => {
  test("goes on with the same File given again, and not with another", async () => {
    const { store, resume } = await stopped();
    expect(await (await loadRun(resume, { store })).config()).toMatchObject({ data: { text: { blob: "owl.txt" } } });
    const other = train(config(owl(text.replace("owl", "fox"))), { store, resume });
    await expect(other.result).rejects.toThrow(/cannot go on, its data changed/);
    expect((await train(config(), { store, resume })).weightsHash).toBe(await whole());
    expect((await verify(resume, { store })).problems).toEqual([]);
  });

  test("so in a worker", async () => {
    const { store, resume } = await stopped();
    const { port1, port2 } = new MessageChannel();
    serveTraining(port1 as unknown as Endpoint, { store });
    const { weightsHash } = await connect(port2 as unknown as Endpoint).train(config(new Blob([text])), { resume });
    expect(weightsHash).toBe(await whole());
    port1.close();
  });

  test("says that it needs it again, and is replayed with it", async () => {
    const { store, resume } = await stopped();
    const again =
      /"data\.text" needs the File or Blob itself, of which a run keeps the name alone, got "owl\.txt"\. Give the same file again: /;
    await expect(train(undefined as never, { store, resume }).result).rejects.toThrow(again);
    await expect(replay(resume, { store })).rejects.toThrow(again);
    expect((await replay(resume, { store, data: { text: owl() } })).verdict).toBe("equal bits");
  });

  test("goes on with a file of that content in its place, or a stream; and one on a file with a Blob", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tenon-resume-"));
    const path = join(folder, "moved.txt");
    await writeFile(path, text);
    async function* stream() {
      yield text;
    }
    for (const [first, then] of [
      [owl(), path],
      [path, owl()],
      [owl(), stream()],
    ]) {
      const options = await stopped(config(first as Blob));
      expect((await train(config(then), options)).weightsHash).toBe(await whole());
    }
    await rm(folder, { recursive: true });
  });

  test("of a table, with its options", async () => {
    const rows = Array.from({ length: 60 }, (_, i) => `${i % 10},${i % 10 < 5 ? "low" : "high"}`).join("\n");
    const table = (more: object = {}) => ({
      data: { csv: [new File([`n,kind\n${rows}`], "rows.csv")], target: "kind", ...more },
      training: { steps: 40, batchSize: 9, checkpointEvery: 2 },
    });
    const options = await stopped(table());
    await expect(train(table({ normalize: "minmax" }), options).result).rejects.toThrow(
      /its config changed: data\.normalize was nothing, is "minmax"/,
    );
    expect((await train(table(), options)).steps).toBe(40);
  });
});

test("a stream that has passed is not read again: what the store kept of it goes on", async () => {
  async function* stream() {
    yield text;
  }
  const given = config(stream());
  const options = await stopped(given);
  expect((await train(given, options)).weightsHash).toBe(await whole());
});

describe("a config that is not the one of the run is refused", () => {
  test.each([
    [
      { training: { steps: 80, learningRate: 5 } },
      "training.learningRate was 0.001, is 5; training.steps was 40, is 80",
    ],
    [{ training: { ...rest.training, steps: 80 } }, "training.steps was 40, is 80"],
    [{ training: { weightDecay: 0.5 } }, "training.weightDecay was 0.1, is 0.5"],
    [{ model: { resid_pdrop: 0.5 } }, "model.resid_pdrop was nothing, is 0.5"],
    [{ tokenizer: "byte" }, 'tokenizer was "char", is "byte"'],
    [{ seed: 1 }, "seed was 1337, is 1"],
    [{ deterministic: true }, 'deterministic was "warn", is true'],
    [{ data: { split: { train: 0.5, val: 0.1 } } }, "data.split.train was 0.9, is 0.5"],
    [{ data: { corpus: "tales" } }, 'data.corpus was nothing, is "tales"'],
  ])("%o", async (given, changes) => {
    const { store, resume } = await stopped();
    const before = await store.read(`${resume}/manifest.json`);
    await expect(train(given as never, { store, resume }).result).rejects.toThrow(
      `${resume}: cannot go on, its config changed: ${changes}. Give it as it was, or start a new run.`,
    );
    expect(await store.read(`${resume}/manifest.json`)).toEqual(before);
  });

  test("what takes no part, defaults, and the device that it had are no change", async () => {
    const options = await stopped();
    const given = {
      ...config(),
      training: { ...rest.training, learningRate: 1e-3, clipNorm: undefined },
      device: "cpu",
      threads: 1,
      memoryBudget: 1e9,
      out: "elsewhere",
    };
    expect((await train(given as never, options)).weightsHash).toBe(await whole());
    const wrong = train({ trainig: {} } as never, options);
    await expect(wrong.result).rejects.toThrow('"trainig" is not a known key. Did you mean "training"?');
    await expect(train([] as never, options).result).rejects.toThrow("config: needs an object, got []");
  });
});

describe("a run in code", () => {
  const task = (more: object, training: object = {}) => {
    const p = randn([2, 2], { requiresGrad: true, generator: new Generator(1) });
    const loss = () => p.matmul(p).sum();
    const base = { batches: [[1]], codeVersion: "1", dataVersion: "1" };
    const options = { steps: 6, checkpointEvery: 1, optimizer: "muon", ...training };
    return { parameters: { p }, loss, ...base, training: options, ...more } as never;
  };

  test("does not go on with other code, nor with a rate that it did not have", async () => {
    const { store, resume } = await stopped(task({}, { steps: 40 }));
    const again = (more: object, training: object = {}) =>
      train(task(more, { steps: 40, ...training }), { store, resume }).result;
    await expect(again({ codeVersion: "2" })).rejects.toThrow(/cannot go on, its code changed: it was 1, is 2\. Bring/);
    // An error that is kept, as by a matcher, holds what the functions on its stack hold.
    const message = await again({ codeVersion: "" }).catch((error) => error.message);
    expect(message).toMatch(/train: needs a text that is not empty for codeVersion/);
    await expect(again({}, { adamwLearningRate: 0.5 })).rejects.toThrow(
      /its config changed: training.adamwLearningRate was 0.001, is 0.5/,
    );
    expect((await again({})).steps).toBe(40);
  });
});

test("a run of another build goes on, and says so; one without a config does not", async () => {
  const { store, resume } = await stopped();
  const path = `${resume}/manifest.json`;
  const manifest = parseManifest(await readText(store, path));
  await writeText(store, path, writeManifest({ ...manifest, package: { ...manifest.package, buildHash: "other" } }));
  const warnings: string[] = [];
  const run = train(config(), { store, resume });
  for await (const event of run) if (event.type === "warning") warnings.push(event.message);
  expect(warnings.join()).toMatch(/goes on with another build of tenon .*: it was other/);
  await writeText(store, `${resume}/config.json`, "null");
  await expect(train(undefined as never, { store, resume }).result).rejects.toThrow(
    /config.json: needs an object, got null/,
  );
});
