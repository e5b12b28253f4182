import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as t from "tenon";
import { fromCsv, fromRows } from "tenon/data";
import {
  loadRun,
  MemoryStore,
  replay,
  reproduce,
  type TrainingConfigInput,
  type TrainingResult,
  train,
} from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectedWeights, trainOnBlob } from "./table-in-memory.js";

const folder = await mkdtemp(join(tmpdir(), "tenon-table-"));
const path = (name: string) => join(folder, name);

/** Two numbers and a category decide the class; one cell in twenty is missing. */
const flowers = Array.from({ length: 160 }, (_, i) => {
  const length = 1 + ((i * 37) % 100) / 20;
  const width = ((i * 53) % 90) / 30;
  const site = ["bog", "dune", "rock"][i % 3];
  const kind = length + (site === "dune" ? 2 : 0) > 4.2 ? "tall" : width > 1.5 ? "wide" : "small";
  return { length, width: i % 20 === 7 ? null : width, site, kind };
});

/** A price made of a number and a category. */
const stones = Array.from({ length: 200 }, (_, i) => {
  const weight = ((i * 29) % 100) / 50;
  const cut = ["fair", "good"][i % 2];
  return { id: `stone ${i}`, weight, cut, price: 1000 + 500 * weight + (cut === "good" ? 300 : 0) };
});

/** Images of 8 by 8: class 0 has a bright column, class 1 a bright row, anywhere. */
const images = Array.from({ length: 120 }, (_, n) =>
  Array.from({ length: 64 }, (_, at) => ((n % 2 ? at >> 3 : at & 7) === (n * 5) % 8 ? 255 : (at * 7 + n * 13) % 60)),
);

const csvOf = (rows: readonly Record<string, unknown>[]) =>
  [Object.keys(rows[0]), ...rows.map((row) => Object.values(row).map((value) => value ?? ""))].join("\n");

/** An idx file of unsigned bytes. */
function idx(shape: number[], data: readonly number[]): Uint8Array {
  const header = [0, 0, 8, shape.length, ...shape.flatMap((size) => [0, 0, size >> 8, size & 255])];
  return Uint8Array.from([...header, ...data]);
}

beforeAll(async () => {
  await writeFile(path("flowers.csv"), csvOf(flowers));
  await writeFile(path("stones.jsonl"), stones.map((row) => JSON.stringify(row)).join("\n"));
  await writeFile(path("images.idx"), idx([120, 8, 8], images.flat()));
  await writeFile(
    path("labels.idx"),
    idx(
      [120],
      images.map((_, n) => n % 2),
    ),
  );
});
afterAll(() => rm(folder, { recursive: true }));

const classify = (data: object = {}, training: object = {}, more: object = {}): TrainingConfigInput => ({
  data: { csv: path("flowers.csv"), target: "kind", split: { train: 0.75, val: 0.25 }, ...data },
  model: { model_type: "mlp", hidden_sizes: [16], dropout: 0.05 },
  training: { steps: 120, batchSize: 16, learningRate: 2e-2, evalEvery: 40, checkpointEvery: 25, ...training },
  seed: 5,
  ...more,
});
const regress = (data: object = {}): TrainingConfigInput => ({
  data: { jsonl: path("stones.jsonl"), target: "price", features: ["weight", "cut"], ...data },
  model: { model_type: "mlp", hidden_sizes: [16] },
  training: { steps: 150, batchSize: 32, learningRate: 1e-2, evalEvery: 150, checkpointEvery: 150 },
  seed: 5,
});
const lastCheckpoint = ({ executionId, steps }: TrainingResult) =>
  `${executionId}/checkpoints/step-${String(steps).padStart(6, "0")}`;

describe("classification of a CSV file", () => {
  test("learns, reports its accuracy, and the checkpoint predicts from plain rows", async () => {
    const store = new MemoryStore();
    const run = train(classify(), { store });
    const evaluations: number[] = [];
    for await (const event of run) if (event.type === "eval") evaluations.push(event.metrics.valAccuracy);
    const result = await run;
    expect(evaluations.length).toBe(3);
    expect(evaluations[2]).toBe(result.metrics.valAccuracy);
    expect(result.metrics.valAccuracy).toBeGreaterThan(0.85);
    expect(result).toMatchObject({ unit: "rows", steps: 120 });

    const model = await t.loadModel<t.Mlp>({ store, folder: lastCheckpoint(result) });
    expect(model.training).toBe(false);
    const rows = flowers.map(({ kind, ...features }) => features);
    const predictions = await model.predict(rows);
    const right = predictions.filter(({ value }, i) => value === flowers[i].kind).length;
    expect(right / rows.length).toBeGreaterThan(0.9);
    const shares = Object.entries(predictions[0].probabilities!);
    expect(shares.map(([name]) => name)).toEqual(["small", "tall", "wide"]);
    expect(shares.reduce((sum, [, share]) => sum + share, 0)).toBeCloseTo(1, 5);
    // A row alone and the row among others are the same to the bit.
    expect(await model.predict([rows[3]])).toEqual([predictions[3]]);
    expect(await model.predict([])).toEqual([]);
    await expect(model.predict([{ length: 1, width: 2 }])).rejects.toThrow(/no column "site"/);
    await expect(model.predict([{ length: "1", width: 2, site: "bog" }])).rejects.toThrow(
      /"length": expected a number/,
    );
    model.dispose();
  });

  test("every row of the validation split is judged, also where training leaves out a last batch that is not full", async () => {
    const judged = (dropLast: boolean) =>
      train(classify({ collate: { dropLast } }, { steps: 1, batchSize: 50 }), { store: new MemoryStore() });
    const [all, full] = [await judged(false), await judged(true)];
    expect(full.metrics).toEqual(all.metrics);
    expect(full.valLoss).toBe(all.valLoss);
  });

  test("statistics and vocabularies are those of the training split, and nothing else", async () => {
    const store = new MemoryStore();
    const result = await train(classify({}, { steps: 1 }), { store });
    const model = await t.loadModel<t.Mlp>({ store, folder: lastCheckpoint(result) });
    const [length, width, site] = model.config.features!;
    model.dispose();
    const parts = (await fromCsv(path("flowers.csv"))).split({ train: 0.75, val: 0.25 }, { seed: 5 });
    const values = (await parts.train.toArray()).map((row) => row["length"] as number);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(values.length).toBe(120);
    expect(length.offset).toBeCloseTo(mean, 6);
    expect(length.scale).toBeCloseTo(Math.sqrt(variance), 6);
    expect([width.kind, site.values]).toEqual(["number", ["bog", "dune", "rock"]]);
  });

  test("the same bits twice; the schema is part of the identity, given or inferred", async () => {
    const store = new MemoryStore();
    const short = { steps: 12 };
    const a = await train(classify({}, short), { store });
    const b = await train(classify({}, short), { store });
    expect([b.runId, b.weightsHash]).toEqual([a.runId, a.weightsHash]);
    const { fields } = (await fromCsv(path("flowers.csv"))).schema;
    const given = await train(classify({ schema: { fields } }, short), { store });
    expect(given.runId).toBe(a.runId);
    const kinds = fields.map((field) =>
      field.name === "site" ? { ...field, values: ["rock", "bog", "dune"] } : field,
    );
    const other = await train(classify({ schema: { fields: kinds } }, short), { store });
    expect(other.runId).not.toBe(a.runId);
  });

  test.each([
    ["kept in memory", true],
    ["streamed", false],
  ])("stopped and resumed equals undisturbed, bit for bit: %s", async (_, cache) => {
    const config = classify({ cache }, { steps: 60 });
    const whole = await train(config, { store: new MemoryStore() });
    const store = new MemoryStore();
    const run = train(config, { store });
    for await (const event of run) if (event.type === "step" && event.step === 33) void run.stop();
    const stopped = await run;
    expect(stopped).toMatchObject({ stopped: true });
    expect(stopped.steps).toBeLessThan(60);
    const resumed = await train(undefined as never, { store, resume: stopped.executionId });
    expect(resumed.weightsHash).toBe(whole.weightsHash);
    expect(resumed.metrics).toEqual(whole.metrics);
  });

  test("a run replays from its manifest to equal bits, measures included", async () => {
    const store = new MemoryStore();
    const { executionId } = await train(classify({}, { steps: 10, evalEvery: 5 }), { store });
    expect(await replay(executionId, { store })).toMatchObject({ verdict: "equal bits", steps: 10 });
    const { manifest } = await loadRun(executionId, { store });
    expect((await reproduce(manifest, { data: path("flowers.csv") })).verdict).toBe("equal bits");
  });

  test("a resumed run refuses data that changed", async () => {
    const store = new MemoryStore();
    await writeFile(path("changing.csv"), csvOf(flowers));
    const config = classify({ csv: path("changing.csv") }, { steps: 50 });
    const run = train(config, { store });
    for await (const event of run) if (event.type === "step" && event.step === 5) void run.stop();
    const { executionId } = await run;
    await writeFile(path("changing.csv"), csvOf([...flowers, flowers[0]]));
    await expect(train(undefined as never, { store, resume: executionId }).result).rejects.toThrow(/data changed/);
  });

  test("rows without a target, and rows that break the schema, are refused or left out with their number", async () => {
    const rows = flowers.map((row, i) => ({ ...row, kind: i % 40 === 3 ? null : row.kind }));
    await writeFile(path("unnamed.csv"), csvOf(rows));
    const config = classify({ csv: path("unnamed.csv") }, { steps: 2 });
    await expect(train(config, { store: new MemoryStore() }).result).rejects.toThrow(
      /unnamed\.csv: 4 of 160 rows have no value of the target "kind"\. "onViolation": "skip" leaves such rows out/,
    );
    const schema = {
      fields: {
        length: "float32",
        width: { type: "float32", nullable: true },
        site: "category",
        kind: { type: "category", nullable: true },
      },
    };
    await writeFile(path("broken.csv"), csvOf(rows).replace("1,0,bog,small", "one,0,bog,small"));
    const skip = { csv: path("broken.csv"), onViolation: "skip", schema };
    const warnings: string[] = [];
    const run = train(classify(skip, { steps: 2 }), { store: new MemoryStore() });
    for await (const event of run) if (event.type === "warning") warnings.push(event.message);
    expect(warnings).toEqual([
      expect.stringMatching(/4 of 159 rows have no value of the target "kind", and are left out\./),
      expect.stringMatching(
        /1 rows that break the schema are left out, 0 .* The first: row 1, column "length", got .?one/,
      ),
    ]);
  });

  test("the format of the file is of no consequence", async () => {
    await writeFile(path("flowers.json"), JSON.stringify(flowers));
    await writeFile(path("flowers.jsonl"), flowers.map((row) => JSON.stringify(row)).join("\n"));
    const { data, ...rest } = classify({}, { steps: 5 });
    const { csv, ...columns } = data;
    const places = [
      { csv },
      { json: path("flowers.json") },
      { jsonl: path("flowers.jsonl") },
      { csv: new Blob([csvOf(flowers)]) },
    ];
    const hashes = new Set<string>();
    for (const place of places) {
      const config = { ...rest, data: { ...columns, ...place } };
      hashes.add((await train(config, { store: new MemoryStore() })).weightsHash);
    }
    expect(hashes.size).toBe(1);
  });

  test("several files are one table", async () => {
    await writeFile(path("part-1.csv"), csvOf(flowers.slice(0, 90)));
    await writeFile(path("part-2.csv"), csvOf(flowers.slice(90)));
    const parts = [path("part-1.csv"), path("part-2.csv")];
    const short = { steps: 5 };
    const together = await train(classify({ csv: parts }, short), { store: new MemoryStore() });
    const one = await train(classify({}, short), { store: new MemoryStore() });
    expect(together.weightsHash).toBe(one.weightsHash);
    expect(together.runId).not.toBe(one.runId);
  });
});

describe("regression of JSON lines", () => {
  test("measures and predictions are in the target's own unit", async () => {
    const store = new MemoryStore();
    const result = await train(regress(), { store });
    const { valMae, valRmse, valR2 } = result.metrics;
    expect(valR2).toBeGreaterThan(0.98);
    expect(valMae).toBeLessThan(40);
    expect(valRmse).toBeGreaterThanOrEqual(valMae);
    const model = await t.loadModel<t.Mlp>({ store, folder: lastCheckpoint(result) });
    const [{ value, probabilities }] = await model.predict([{ weight: 1, cut: "good" }]);
    model.dispose();
    expect(value).toBeGreaterThan(1700);
    expect(value).toBeLessThan(1900);
    expect(probabilities).toBe(undefined);
  });
});

test("a table that is a Blob trains to the weights that a page gets", async () => {
  expect((await trainOnBlob()).weightsHash).toBe(expectedWeights);
});

describe("images of idx files", () => {
  const config = (model: { model_type: string }): TrainingConfigInput => ({
    data: { idx: path("images.idx"), labels: path("labels.idx"), split: { train: 0.8, val: 0.2 } },
    model,
    training: { steps: 40, batchSize: 16, learningRate: 1e-2, evalEvery: 40, checkpointEvery: 40 },
    seed: 2,
  });

  test.each([
    ["convnet", { model_type: "convnet", channels: [4], hidden_sizes: [16] }],
    ["mlp", { model_type: "mlp", hidden_sizes: [32] }],
  ])("%s learns them, and predicts from pixels", async (_, family) => {
    const store = new MemoryStore();
    const result = await train(config(family), { store });
    expect(result.metrics.valAccuracy).toBeGreaterThan(0.9);
    const model = await t.loadModel<t.ConvNet>({ store, folder: lastCheckpoint(result) });
    const predictions = await model.predict(images.map((image) => ({ image })));
    expect(predictions.filter(({ value }, n) => value === String(n % 2)).length).toBeGreaterThan(110);
    await expect(model.predict([{ image: images[0].slice(1) }])).rejects.toThrow(/"image": expected 64 bytes/);
    model.dispose();
  });
});

describe("what is refused", () => {
  test.each<[string, TrainingConfigInput, RegExp]>([
    [
      "no target",
      classify({ target: undefined }),
      /needs target, the column of .*flowers\.csv to predict\. The columns are length, width, site, kind/,
    ],
    ["an unknown target", classify({ target: "kinds" }), /"kinds"/],
    ["an unknown feature", classify({ features: ["lenght"] }), /"lenght"/],
    ["the target among the features", classify({ features: ["length", "kind"] }), /holds the target "kind"/],
    ["a feature of free text", regress({ features: undefined }), /column "id" of type string cannot be a feature/],
    ["a missing file", classify({ csv: "nowhere.csv" }), /nowhere\.csv/],
    [
      "a validation split without rows",
      classify({ split: { train: 0.999, val: 0.001 } }),
      /the split "val" has no rows/,
    ],
    [
      "a convnet for columns",
      { ...classify(), model: { model_type: "convnet" } },
      /convnet: needs one image as its only feature, got length, width, site/,
    ],
    ["an even window", { ...classify({}), model: { model_type: "convnet", kernel_size: 2 } }, /convnet: needs/],
    ["a reader's option that does not exist", classify({ options: { delimeter: ";" } }), /has no option "delimeter"/],
  ])("%s", async (_, config, message) => {
    await expect(train(config, { store: new MemoryStore() }).result).rejects.toThrow(message);
  });

  test("a class that only the validation split has", async () => {
    const rows = flowers.map((row, i) => ({ ...row, kind: i === 140 ? "unheard of" : row.kind }));
    await writeFile(path("rare.csv"), csvOf(rows));
    const outcomes = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) =>
      train(classify({ csv: path("rare.csv") }, { steps: 1 }, { seed }), { store: new MemoryStore() }).result.then(
        () => "in the training split",
        (error: Error) => error.message,
      ),
    );
    const messages = await Promise.all(outcomes);
    const [other, ...rest] = new Set(messages.filter((message) => message !== "in the training split"));
    expect(messages).toContain("in the training split");
    expect(rest).toEqual([]);
    expect(other).toMatch(/target "kind": expected one of 3 classes, got "unheard of"/);
  });
});

describe("models of tables in code", () => {
  test("take tensors, plain arrays and batches of tenon/data", async () => {
    const model = await t.createModel({ model_type: "mlp", in_features: 2, out_features: 2, hidden_sizes: [8] });
    const features = { data: [0, 0, 0, 1, 1, 0, 1, 1], shape: [4, 2] };
    const target = { data: [0, 1, 1, 0], shape: [4] };
    const loss = model.loss({ features, target });
    const tensors = {
      features: t.tensor(features.data).reshape([4, 2]),
      target: t.tensor([0, 1, 1, 0], { dtype: "int32" }),
    };
    const same = model.loss(tensors);
    expect(await same.item()).toBe(await loss.item());
    expect(() => model.forward({ data: [1, 2, 3], shape: [1, 3] })).toThrow(
      /mlp: needs features \[N, 2\], got \[1, 3\]/,
    );
    await expect(model.predict([{ a: 1 }])).rejects.toThrow(/knows no columns/);
    for (const tensor of [loss, same, tensors.features, tensors.target]) tensor.dispose();

    const rows = fromRows(
      [0, 1, 2, 3].map((i) => ({ features: [i >> 1, i & 1], target: Number(i === 1 || i === 2) })),
      {
        schema: { fields: { features: "list", target: "int32" } },
      },
    );
    const run = train(
      {
        model,
        batches: rows.batch({ batchSize: 4, epochs: 200 }),
        training: { steps: 200, learningRate: 3e-2 },
        seed: 3,
      },
      { store: new MemoryStore() },
    );
    expect((await run).trainLoss).toBeLessThan(0.1);
    model.dispose();
  });

  test("configs are checked", async () => {
    const make = (config: object) => t.createModel<t.Model>(config);
    await expect(make({ model_type: "mlp" })).rejects.toThrow(/mlp: needs a whole number above 0 for in_features/);
    await expect(make({ model_type: "mlp", in_features: 2 })).rejects.toThrow(/out_features/);
    await expect(
      make({
        model_type: "mlp",
        in_features: 3,
        features: [{ name: "a", kind: "number", width: 1, offset: 0, scale: 1 }],
      }),
    ).rejects.toThrow(/mlp: needs in_features 1, as features and target tell, got 3/);
    await expect(make({ model_type: "mlp", features: [{ name: "a", kind: "colour" }] })).rejects.toThrow(
      /features.*kind/,
    );
    await expect(make({ model_type: "convnet", out_features: 2, kernel_size: 4 })).rejects.toThrow(
      /an odd kernel_size/,
    );
    await expect(
      make({ model_type: "convnet", out_features: 2, image_shape: [1, 4, 4], channels: [1, 1, 1] }),
    ).rejects.toThrow(/at most 2 convolutions/);
    await expect(make({ model_type: "mpl" })).rejects.toThrow(/Did you mean "mlp"|unknown model_type "mpl"/);
    const model = await make({ model_type: "convnet", out_features: 10 });
    expect([...model.namedParameters()].map(([name, { shape }]) => `${name} ${shape.join("x")}`)).toEqual([
      "convolutions.0.weight 8x1x3x3",
      "convolutions.0.bias 8",
      "convolutions.1.weight 16x8x3x3",
      "convolutions.1.bias 16",
      "layers.0.weight 64x784",
      "layers.0.bias 64",
      "head.weight 10x64",
      "head.bias 10",
    ]);
    model.dispose();
  });
});
