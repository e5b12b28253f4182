/** A table from a config: rows, split by the seed, as numbers by what the training split teaches; a model of tables. */

import type { DataReference } from "../artifacts/manifest.js";
import type { DeviceName } from "../backend/backend.js";
import { ConfigError, DataError } from "../core/errors.js";
import { canonicalJson } from "../core/json.js";
import type { Generator } from "../core/random.js";
import { createHasher, sha256Hex } from "../core/sha256.js";
import type { BatchSource } from "../data/batch-source.js";
import { openBytes } from "../data/bytes.js";
import { type Batch, type Dataset, type EncodedRow, fitTable, openDataset, type TableEncoding } from "../data/index.js";
import { createModel } from "../models/index.js";
import type { TableBatch, TableModel } from "../models/table-model.js";
import { setGenerator } from "../nn/index.js";
import { noGrad } from "../tensor/autograd.js";
import { tidy } from "../tensor/scope.js";
import type { TrainingConfig } from "./config.js";
import { type DataConfig, type DataPlace, dataKindOf, placesOf } from "./data-config.js";
import { Accuracy, RegressionErrors, type Score } from "./scores.js";
import type { Evaluation, MicroBatch, Setup, Task } from "./task.js";

/** Up to this many bytes of data, the rows stay in memory unless the config says otherwise. */
const CACHED_BYTES = 64 * 2 ** 20;

/** Name, size and hash of what lies at a place, gzip undone. */
async function reference(place: DataPlace): Promise<DataReference> {
  const bytes = openBytes(place);
  const hasher = createHasher();
  let size = 0;
  for await (const piece of bytes.stream()) {
    hasher.update(piece);
    size += piece.length;
  }
  return { name: bytes.name, size, sha256: hasher.digest() };
}

const hashOf = (sources: readonly DataReference[]): string =>
  sources.length === 1 ? sources[0].sha256 : sha256Hex(canonicalJson(sources.map(({ sha256 }) => sha256)));

/** The rows of all files, one file after the other. */
async function openRows(data: DataConfig, cache: boolean): Promise<Dataset> {
  const kind = dataKindOf(data);
  const { schema, onViolation, options } = data;
  const labels = placesOf(data.labels);
  const files: Dataset[] = [];
  for (const [i, place] of placesOf(data[kind]).entries()) {
    const labelled = labels.length > 0 ? { labels: labels[i] } : {};
    // What the first file holds is what the others must hold.
    const known = schema ?? (kind === "idx" ? undefined : files[0]?.schema);
    files.push(await openDataset({ [kind]: place, schema: known, onViolation, options, ...labelled }));
  }
  const [first, ...others] = files;
  const rows = others.length > 0 ? first.concat(...others) : first;
  return cache && kind !== "idx" ? rows.cache() : rows;
}

/** Features and target as numbers, by what the training split teaches; targets of regressions are normalised, too. */
async function learnEncoding(train: Dataset, data: DataConfig, where: string): Promise<TableEncoding> {
  const { features, target, normalize, normalizeTarget = "standard" } = data;
  const field = train.schema.fields.find(({ name, role }) => (target ? name === target : role === "target"));
  const task = data.task ?? (field?.modality === "label" ? "classification" : undefined);
  const encoding = await fitTable(train, { features, target, task, normalize, normalizeTarget });
  if (!encoding.target) {
    throw new ConfigError(`config: data needs target, the column to predict, for ${where}.`, {
      where: "data.target",
      hint: `The columns are ${train.schema.fields.map(({ name }) => name).join(", ")}.`,
    });
  }
  if (features?.includes(encoding.target.name)) {
    throw new ConfigError(`config: data.features holds the target "${encoding.target.name}".`, {
      where: "data.features",
      hint: "What is to be predicted cannot be known beforehand: leave it out.",
    });
  }
  if (encoding.target.classes && encoding.target.classes.length < 2) {
    throw new DataError(
      `${where}: the target "${encoding.target.name}" needs at least 2 classes, got ${encoding.target.classes.length}.`,
      { where },
    );
  }
  return encoding;
}

/** Everything a config names, loaded and checked. */
export async function tableSetup(config: TrainingConfig, generator: Generator, device: DeviceName): Promise<Setup> {
  const { data, seed, training } = config;
  const kind = dataKindOf(data);
  const sources = await Promise.all(placesOf(data[kind]).map(reference));
  const labels = await Promise.all(placesOf(data.labels).map(reference));
  const where = sources.map(({ name }) => name).join(", ");
  const cache = data.cache ?? sources.reduce((sum, { size }) => sum + size, 0) <= CACHED_BYTES;
  const rows = await openRows(data, cache);
  const shares = Object.fromEntries(Object.entries(data.split).filter(([, share]) => share > 0));
  const parts = rows.split(shares, { seed, stratify: data.stratify, group: data.group });
  const encoding = await learnEncoding(parts.train, data, where);
  // An order of its own, the same at every validation: a share of it stands for all of it.
  const held = parts.val?.encode(encoding).shuffle({ seed });
  const { batchSize, evalFraction, dropout } = training;
  const count = { train: await parts.train.count(), val: held ? await held.count() : 0 };
  for (const part of Object.keys(count) as (keyof typeof count)[]) {
    if (part in shares && count[part] === 0)
      throw new DataError(`${where}: the split "${part}" has no rows.`, {
        where,
        hint: `Give more rows, or "split": { "train": 1, "val": 0 } where there is nothing to spare.`,
      });
  }
  const collate = { ...data.collate, batchSize };
  const source = parts.train
    .encode(encoding)
    .shuffle({ seed })
    .batch({ ...collate, epochs: Number.POSITIVE_INFINITY });
  const validation = (share: number) => (held as Dataset<EncodedRow>).take(Math.ceil(share * count.val)).batch(collate);

  const image = rows.schema.fields.find(({ name, shape }) => shape && name === encoding.features[0].name)?.shape;
  const shape =
    image && config.model.model_type === "convnet" ? { image_shape: image.length === 2 ? [1, ...image] : image } : {};
  const modelConfig = { dropout, ...shape, ...config.model, features: encoding.features, target: encoding.target };
  const model = await createModel<TableModel>(modelConfig, undefined, { seed, device });
  setGenerator(model, generator);
  const hashedLabels = labels.length > 0 ? { labels: `sha256:${hashOf(labels)}` } : {};
  return {
    task: new TableTask(model, source, held && validation, evalFraction, batchSize),
    fingerprint: await source.fingerprint(),
    sources: [...sources, ...labels],
    tokenizerHash: null,
    hashed: { dataHash: hashOf(sources), data: { schema: rows.schema, cache, ...hashedLabels } },
  };
}

export class TableTask implements Task {
  readonly unit = "rows";

  constructor(
    readonly model: TableModel,
    readonly source: BatchSource<Batch>,
    private readonly validation: ((share: number) => AsyncIterable<Batch>) | undefined,
    private readonly evalFraction: number,
    readonly batchSize: number,
  ) {
    if (!validation) this.evaluate = undefined;
  }

  async next(): Promise<MicroBatch> {
    const batch = (await this.source.next()) as Batch;
    return { lossSum: () => this.model.loss(batch, { reduction: "sum" }), count: batch.size, tokens: batch.size };
  }

  fits(rows: number) {
    const { in_features: width, task } = this.model.config;
    const zeros = task === "classification" ? new Int32Array(rows) : new Float32Array(rows);
    return this.model.loss({
      features: { data: new Float32Array(rows * width), shape: [rows, width] },
      target: { data: zeros, shape: [rows] },
    });
  }

  evaluate? = async (whole: boolean): Promise<Evaluation> => {
    const { model } = this;
    const score = this.score();
    const { training } = model;
    model.eval();
    try {
      let total = 0;
      let count = 0;
      for await (const batch of this.validation!(whole ? 1 : this.evalFraction)) {
        const { features, target } = batch.columns as unknown as TableBatch;
        const [outputs, loss] = noGrad(() =>
          tidy(() => {
            const outputs = model.forward(features);
            return [outputs, model.lossOf(outputs, target, { reduction: "sum" })];
          }),
        );
        score.add((await outputs.data()) as Float32Array, (target as { data: ArrayLike<number> }).data);
        total += Number(await loss.item());
        count += batch.size;
        outputs.dispose();
        loss.dispose();
      }
      return { loss: total / count, metrics: score.values() };
    } finally {
      model.train(training);
    }
  };

  private score(): Score {
    const { task, target } = this.model.config;
    return task === "classification" ? new Accuracy() : new RegressionErrors(target?.scale ?? 1);
  }

  files(): Record<string, string> {
    return this.model.files();
  }
}
