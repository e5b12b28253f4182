import { ones } from "tenon";
import { fromRows } from "tenon/data";
import { loadRun, train } from "tenon/runs";
import { describe, expect, it } from "vitest";
import { readText, writeText } from "../../src/core/store.js";
import { Aggregates, higherIsBetter } from "../../src/runs/aggregates.js";
import { LineFile, readLines } from "../../src/runs/lines.js";
import { MemoryStore } from "../../src/runs/memory-store.js";
import { curve, MetricsLog, readMetrics, readSamples } from "../../src/runs/metrics.js";
import type { AnyBatches } from "../../src/runs/module-task.js";

describe("line files", () => {
  it("start with format and version, and know their length in bytes, written or waiting", async () => {
    const store = new MemoryStore();
    const file = await LineFile.open(store, "r/metrics.jsonl", "tenon-metrics");
    file.record({ step: 1, text: "\u00e9\u{1f600}" });
    const waiting = file.offset;
    expect(await store.size("r/metrics.jsonl")).toBeUndefined();
    await file.flush();
    expect(await store.size("r/metrics.jsonl")).toBe(waiting);
    expect(file.offset).toBe(waiting);
    expect(await readText(store, "r/metrics.jsonl")).toBe(
      '{"format":"tenon-metrics","formatVersion":"1.0"}\n{"step":1,"text":"\u00e9\u{1f600}"}\n',
    );
  });

  it("keep records in order when flushes overlap", async () => {
    const store = new MemoryStore();
    const file = await LineFile.open(store, "x", "tenon-metrics");
    const flushes = Array.from({ length: 20 }, (_, step) => {
      file.record({ step });
      return file.flush();
    });
    await Promise.all(flushes);
    const records = await readLines(store, "x", "tenon-metrics");
    expect(records.map(({ step }) => step)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it("go on after the last whole line when a kill cut one short", async () => {
    const store = new MemoryStore();
    const first = await LineFile.open(store, "x", "tenon-metrics");
    first.record({ step: 1 });
    await first.flush();
    await store.append("x", new TextEncoder().encode('{"step":2,"lo'));
    const second = await LineFile.open(store, "x", "tenon-metrics");
    second.record({ step: 3 });
    await second.flush();
    expect(await readLines(store, "x", "tenon-metrics")).toEqual([{ step: 1 }, { step: 3 }]);
  });

  it("are read without the line that a kill cut short, and refuse any other broken line", async () => {
    const store = new MemoryStore();
    const head = '{"format":"tenon-metrics","formatVersion":"1.0"}\n';
    await writeText(store, "x", `${head}{"step":1}\n{"st`);
    expect(await readLines(store, "x", "tenon-metrics")).toEqual([{ step: 1 }]);
    await writeText(store, "x", `${head}{"st\n{"step":2}\n`);
    await expect(readLines(store, "x", "tenon-metrics")).rejects.toThrow(/x, line 2: is not valid JSON/);
    await writeText(store, "x", `${head}7\n`);
    await expect(readLines(store, "x", "tenon-metrics")).rejects.toThrow(/x, line 2: an object expected, got 7/);
    await writeText(store, "x", '{"step":1}\n');
    await expect(readLines(store, "x", "tenon-metrics")).rejects.toThrow(
      /x, line 1: "format": "tenon-metrics" expected/,
    );
    expect(await readLines(store, "none", "tenon-metrics")).toEqual([]);
  });
});

describe("a run's metrics", () => {
  it("take nothing from the moment they are closed: it would be in no file, and nobody would be told", async () => {
    const log = await MetricsLog.open(new MemoryStore(), "r");
    const closing = log.close();
    const refusal = "log: the run has ended, nothing is added to it.";
    expect(() => log.log("loss", 1, 1)).toThrow(refusal);
    expect(() => log.timing(1, { milliseconds: 1 })).toThrow(refusal);
    expect(() => log.sample(1, "text")).toThrow(refusal);
    await closing;
  });

  it("go to their files, times apart, and come back as numbers, NaN too", async () => {
    const store = new MemoryStore();
    const log = await MetricsLog.open(store, "r");
    log.log({ loss: 0.1 + 0.2, gradNorm: Number.NaN }, 1);
    log.log("valLoss", Number.POSITIVE_INFINITY, 1);
    log.timing(1, { seconds: 3.5 });
    log.sample(1, "line one\nline two", { prompt: "l" });
    await log.close();
    expect(await readText(store, "r/metrics.jsonl")).toBe(
      '{"format":"tenon-metrics","formatVersion":"1.0"}\n' +
        '{"step":1,"loss":0.30000000000000004,"gradNorm":"NaN"}\n{"step":1,"valLoss":"Infinity"}\n',
    );
    expect(await readMetrics(store, "r")).toEqual([
      { step: 1, values: { loss: 0.1 + 0.2, gradNorm: Number.NaN } },
      { step: 1, values: { valLoss: Number.POSITIVE_INFINITY } },
    ]);
    expect(await readMetrics(store, "r", "timing")).toEqual([{ step: 1, values: { seconds: 3.5 } }]);
    expect(await readSamples(store, "r")).toEqual([{ step: 1, text: "line one\nline two", prompt: "l" }]);
    expect(curve(await readMetrics(store, "r"), "valLoss")).toEqual({ steps: [1], values: [Number.POSITIVE_INFINITY] });
  });

  it("are cut back to the checkpoint on resume, byte for byte as if nothing had happened", async () => {
    const write = (log: MetricsLog, from: number, to: number) => {
      for (let step = from; step <= to; step++) {
        log.epoch = Math.floor(step / 5);
        log.log({ loss: 1 / step }, step);
        if (step % 3 === 0) log.sample(step, `sample ${step}`);
      }
    };
    const smooth = new MemoryStore();
    const undisturbed = await MetricsLog.open(smooth, "r");
    write(undisturbed, 1, 20);
    await undisturbed.close();

    const store = new MemoryStore();
    const first = await MetricsLog.open(store, "r");
    write(first, 1, 7);
    const offsets = first.offsets;
    await first.flush();
    write(first, 8, 12);
    await first.flush();
    await store.append("r/metrics.jsonl", new TextEncoder().encode('{"step":13,"lo'));
    const second = await MetricsLog.open(store, "r", { resumeAt: offsets });
    write(second, 8, 20);
    await second.close();
    for (const file of ["metrics.jsonl", "samples.jsonl"]) {
      expect(await readText(store, `r/${file}`)).toBe(await readText(smooth, `r/${file}`));
    }
    for (const epoch of [undefined, 0, 1, 4])
      expect(second.aggregates.of(epoch)).toEqual(undisturbed.aggregates.of(epoch));
  });

  it("refuse to resume from a file that is shorter than the checkpoint says", async () => {
    const store = new MemoryStore();
    const resumeAt = { metrics: 1000, timing: 0, samples: 0 };
    await expect(MetricsLog.open(store, "r", { resumeAt })).rejects.toThrow(
      /r\/metrics.jsonl: at least 1000 bytes expected by the checkpoint, got 0/,
    );
  });

  it("refuse what is no number, and names and steps that cannot be", async () => {
    const log = await MetricsLog.open(new MemoryStore(), "r");
    expect(() => log.log("loss", "1" as never, 1)).toThrow(/log: needs a number for "loss", got a string/);
    for (const name of ["step", "epoch", "kind"])
      expect(() => log.log(name, 1, 1)).toThrow(`by a name other than "step", "epoch" or "kind", got "${name}"`);
    expect(() => log.log("loss", 1, -1)).toThrow(/needs a step that is a whole number from 0, got -1/);
    expect(() => log.log("loss", 1, 1.5)).toThrow(/got 1.5/);
  });
});

describe("aggregates", () => {
  it("are mean, min, max, last and best, of the run and of each epoch", () => {
    const aggregates = new Aggregates();
    aggregates.add({ loss: 4, accuracy: 0.5 }, 1, 0);
    aggregates.add({ loss: 2, accuracy: 0.9 }, 2, 0);
    aggregates.add({ loss: 3, accuracy: 0.8 }, 3, 1);
    aggregates.add({ loss: Number.NaN }, 4, 1);
    expect(aggregates.of().loss).toEqual({
      count: 3,
      mean: 3,
      min: 2,
      max: 4,
      last: Number.NaN,
      best: 2,
      bestStep: 2,
      notFinite: 1,
    });
    expect(aggregates.of().accuracy).toMatchObject({ best: 0.9, bestStep: 2, last: 0.8 });
    expect(aggregates.of(0).loss).toMatchObject({ mean: 3, last: 2 });
    expect(aggregates.of(1).loss).toMatchObject({ mean: 3, count: 1, notFinite: 1 });
    expect(aggregates.of(2)).toEqual({});
  });

  it("are those of the passes over a table, in the loop and when read back", async () => {
    const rows = Array.from({ length: 10 }, (_, i) => `${i},${i % 2 ? "odd" : "even"}`);
    const config = {
      data: {
        csv: new File([["n,kind", ...rows].join("\n")], "rows.csv"),
        target: "kind",
        split: { train: 1, val: 0 },
      },
      training: { steps: 8, batchSize: 4, checkpointEvery: 3 },
      device: "cpu",
    } as const;
    const store = new MemoryStore();
    const { executionId } = await train(config, { store });
    const run = await loadRun(executionId, { store });
    // Ten rows in batches of four: three steps to an epoch.
    expect((await run.metrics()).map(({ epoch }) => epoch)).toEqual([0, 0, 0, 1, 1, 1, 2, 2]);
    const { epochs, run: whole } = await run.aggregates();
    expect(epochs.map(({ epoch, metrics }) => [epoch, metrics.loss.count])).toEqual([
      [0, 3],
      [1, 3],
      [2, 2],
    ]);
    expect(whole.loss.count).toBe(8);
  });

  it("count the passes over batches of a loop in code, whether the source ends or counts itself", async () => {
    const weight = () => ones([1], { requiresGrad: true });
    const epochsOf = async (batches: AnyBatches<unknown>) => {
      const w = weight();
      const store = new MemoryStore();
      const task = { parameters: [w], loss: () => w.mul(w).sum(), batches, training: { steps: 5 } };
      const { executionId } = await train(task, { store });
      w.dispose();
      return (await (await loadRun(executionId, { store })).metrics()).map(({ epoch }) => epoch);
    };
    expect(await epochsOf([[1], [2]])).toEqual([0, 0, 1, 1, 2]);
    const rows = fromRows([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(await epochsOf(rows.batch({ batchSize: 2 }))).toEqual([0, 0, 1, 1, 2]);
    expect(await epochsOf(rows.batch({ batchSize: 2, epochs: 9 }))).toEqual([0, 0, 1, 1, 2]);
  });

  it("leave fractions of epochs, which earlier versions took as a value, among the values", async () => {
    const store = new MemoryStore();
    const log = await LineFile.open(store, "r/metrics.jsonl", "tenon-metrics");
    log.record({ step: 1, loss: 1, epoch: 0.5 });
    log.record({ step: 2, loss: 1, epoch: 1 });
    await log.flush();
    expect(await readMetrics(store, "r")).toEqual([
      { step: 1, values: { loss: 1, epoch: 0.5 } },
      { step: 2, epoch: 1, values: { loss: 1 } },
    ]);
  });

  it("know which way is better by the name", () => {
    for (const name of ["accuracy", "valAccuracy", "val_f1", "test/auc", "R2"])
      expect(higherIsBetter(name), name).toBe(true);
    for (const name of ["loss", "valLoss", "perplexity", "gradNorm", "pace"])
      expect(higherIsBetter(name), name).toBe(false);
  });
});
