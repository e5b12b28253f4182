/** A table from a config: rows, split by the seed, as numbers by what the training split teaches; a model of tables. */

import type { DeviceName } from "../backend/backend.js";
import type { Generator } from "../core/random.js";
import type { BatchSource } from "../data/batch-source.js";
import type { Batch, Dataset, EncodedRow } from "../data/index.js";
import { createModel } from "../models/index.js";
import type { TableBatch, TableModel } from "../models/table-model.js";
import { setGenerator } from "../nn/index.js";
import { inference } from "../nn/inference.js";
import type { TrainingConfig } from "./config.js";
import { Accuracy, RegressionErrors, type Score } from "./scores.js";
import { hashOf, openTable } from "./table-rows.js";
import type { Evaluation, MicroBatch, Setup, Task } from "./task.js";

/** Everything a config names, loaded and checked. */
export async function tableSetup(config: TrainingConfig, generator: Generator, device: DeviceName): Promise<Setup> {
  const { data, seed, training } = config;
  const { rows, train, val, encoding, sources, labels, cache } = await openTable(data, seed);
  // An order of its own, the same at every validation: a share of it stands for all of it.
  const held = val?.encode(encoding).shuffle({ seed });
  const { batchSize, evalFraction, dropout } = training;
  const heldRows = val ? await val.count() : 0;
  const collate = { ...data.collate, batchSize };
  // Every row is judged, also those of a last batch that training leaves out.
  const judged = { ...collate, dropLast: false };
  const source = train
    .encode(encoding)
    .shuffle({ seed })
    .batch({ ...collate, epochs: Number.POSITIVE_INFINITY });
  const validation = (share: number) => (held as Dataset<EncodedRow>).take(Math.ceil(share * heldRows)).batch(judged);

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
    close: () => source.close(),
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

  fits(rows: number): MicroBatch {
    const { in_features: width, task } = this.model.config;
    const zeros = task === "classification" ? new Int32Array(rows) : new Float32Array(rows);
    const batch = {
      features: { data: new Float32Array(rows * width), shape: [rows, width] },
      target: { data: zeros, shape: [rows] },
    };
    return { lossSum: () => this.model.loss(batch, { reduction: "sum" }), count: rows, tokens: rows };
  }

  evaluate? = async (whole: boolean): Promise<Evaluation> => {
    const { model } = this;
    const score = this.score();
    let total = 0;
    let count = 0;
    for await (const batch of this.validation!(whole ? 1 : this.evalFraction)) {
      const { features, target } = batch.columns as unknown as TableBatch;
      const [outputs, loss] = inference(model, () => {
        const outputs = model.forward(features);
        return [outputs, model.lossOf(outputs, target, { reduction: "sum" })];
      });
      score.add((await outputs.data()) as Float32Array, (target as { data: ArrayLike<number> }).data);
      total += Number(await loss.item());
      count += batch.size;
      outputs.dispose();
      loss.dispose();
    }
    return { loss: total / count, metrics: score.values() };
  };

  private score(): Score {
    const { task, target } = this.model.config;
    return task === "classification" ? new Accuracy() : new RegressionErrors(target?.scale ?? 1);
  }

  files(): Record<string, string> {
    return this.model.files();
  }
}
