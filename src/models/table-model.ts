/** What models of tables share: rows in, a class or a number out. A family adds its layers. */

import { check, list, number, object, oneOf, optional, text } from "../artifacts/schema.js";
import { ConfigError, DataError, NumericsError, ShapeError, showShape } from "../core/errors.js";
import type { Batch } from "../data/batches.js";
import {
  decodeTarget,
  encodeRow,
  type FeatureEncoding,
  type TableEncoding,
  type TargetEncoding,
} from "../data/table.js";
import { inference } from "../nn/inference.js";
import { type PartVisitor, visitParts } from "../nn/parts.js";
import { gelu, relu, sigmoid, silu, tanh } from "../ops/elementwise.js";
import { crossEntropy, mseLoss, reshape, softmax } from "../ops/index.js";
import { checkLoss } from "../ops/reduction.js";
import { fromData } from "../tensor/create.js";
import { Tensor } from "../tensor/tensor.js";
import { type ActivationName, type Fields, field, readConfig } from "./config.js";
import { Model } from "./model.js";
import { argmax } from "./sampling.js";

/** What the configs of all models of tables hold. */
export interface TableConfig extends Fields {
  /** `classification`: a logit for each class. `regression`: one number. */
  task: "classification" | "regression";
  /** Numbers of a row, and numbers that come out. They follow from `features` and `target` where those are given. */
  in_features: number;
  out_features: number;
  /** How columns become numbers, learnt from the training split: with it the model predicts from plain rows. */
  features: FeatureEncoding[] | null;
  target: TargetEncoding | null;
}

/** Numbers with a shape, or a tensor. */
export type TableColumn = Tensor | { readonly data: ArrayLike<number>; readonly shape: readonly number[] };

/** Features [N, in_features], and a target for each row: class numbers or values [N]. */
export interface TableBatch {
  readonly features: TableColumn;
  readonly target: TableColumn;
}

/** What a model says about one row. */
export interface Prediction {
  /** The name of the likeliest class, or the number in the target's own unit. */
  readonly value: string | number;
  /** Of classes: the probability of each, by name; they sum to 1. */
  readonly probabilities?: Readonly<Record<string, number>>;
}

const encodingSchema = object({
  features: list(
    object({
      name: text(),
      kind: oneOf(["number", "category", "bool", "image"]),
      width: number({ min: 0 }),
      offset: number(),
      scale: number(),
      values: optional(list(anyText())),
    }),
  ),
  target: optional(
    object({
      name: text(),
      task: oneOf(["classification", "regression"]),
      classes: optional(list(anyText())),
      offset: number(),
      scale: number(),
    }),
  ),
});

/** Values of categories may be the empty text. */
function anyText() {
  return { ...text(), check: (value: unknown) => String(value) };
}

/** The fields of a config of this family: what all models of tables have, and the family's own. */
export function readTableConfig(
  family: string,
  own: Parameters<typeof readConfig>[1],
  given: Partial<TableConfig>,
): TableConfig {
  let sizes: Partial<TableConfig> = { features: null, target: null };
  if (given.features) {
    const encoding = { features: given.features, ...(given.target ? { target: given.target } : {}) };
    const { features, target } = check(encodingSchema, encoding, family) as unknown as TableEncoding;
    sizes = { features, target: target ?? null, in_features: features.reduce((sum, { width }) => sum + width, 0) };
    if (target) {
      sizes.task = target.task;
      sizes.out_features = target.task === "classification" ? (target.classes ?? []).length : 1;
    }
  }
  for (const name of ["task", "in_features", "out_features"] as const) {
    if (given[name] === undefined || sizes[name] === undefined || given[name] === sizes[name]) continue;
    throw new ConfigError(
      `${family}: needs ${name} ${sizes[name]}, as features and target tell, got ${JSON.stringify(given[name])}.`,
      { where: family, field: name },
    );
  }
  const fields = {
    task: field.oneOf(["classification", "regression"]),
    in_features: field.size(0),
    out_features: field.size(given.task === "regression" ? 1 : 0),
    ...own,
  };
  return readConfig(family, fields, { ...given, ...sizes }) as TableConfig;
}

/** Names of the fields of a family: those that all models of tables have, and its own. */
export const tableFieldNames = (own: object): readonly string[] => [
  "task",
  "in_features",
  "out_features",
  "features",
  "target",
  ...Object.keys(own),
];

/** Activations of hidden layers, by their names in configs. */
export const activations: Readonly<Record<ActivationName, (x: Tensor) => Tensor>> = { relu, gelu, silu, tanh, sigmoid };

/** A model of rows: their encoding, loss, training steps and predictions. */
export abstract class TableModel extends Model {
  abstract override readonly config: TableConfig;

  /** Without what is in the config: encodings may name a hundred thousand categories, and none of them is a part. */
  override visitParts(visit: PartVisitor): void {
    visitParts(this, visit, "", [this.config]);
  }

  /** Outputs [N, out_features] of features [N, in_features]: logits of classes, or numbers as they are trained on. */
  abstract override forward(features: TableColumn): Tensor;

  /** Cross-entropy in nats, or the squared error, of a batch: the mean over its rows, or their sum. */
  loss(batch: TableBatch | Batch, options: { reduction?: "mean" | "sum" } = {}): Tensor {
    const { features, target } = ("columns" in batch ? batch.columns : batch) as unknown as TableBatch;
    return this.lossOf(this.forward(features), target, options);
  }

  /** The loss of outputs that `forward` gave. */
  lossOf(outputs: Tensor, given: TableColumn, options: { reduction?: "mean" | "sum" } = {}): Tensor {
    checkLoss("loss", options);
    const classes = this.config.task === "classification";
    const target = this.upload(given, classes ? "int32" : "float32");
    return classes ? crossEntropy(outputs, target, options) : mseLoss(reshape(outputs, target.shape), target, options);
  }

  /**
   * Predicts from plain rows, as they stand in the table: `[{ petal_length: 1.4, … }]`; the target may be missing, a
   * missing feature is null. Throws DataError on rows that do not fit the columns of the training data.
   */
  async predict(rows: readonly Readonly<Record<string, unknown>>[]): Promise<Prediction[]> {
    if (!Array.isArray(rows)) throw new DataError("predict: needs a list of rows.", { where: "predict" });
    const { features, target, in_features: width } = this.config;
    if (!features || !target) {
      throw new ConfigError("predict: the model knows no columns, its config has no features and target.", {
        where: "predict",
        hint: "Train it from a config, or give it what fitTable() of tenon/data learnt.",
      });
    }
    if (rows.length === 0) return [];
    const encoding: TableEncoding = { features, target, width };
    const data = new Float32Array(rows.length * width);
    for (const [i, row] of rows.entries()) data.set(encodeRow(encoding, row).features, i * width);
    const values = await this.outputs({ data, shape: [rows.length, width] });
    const { classes } = target;
    if (!classes) return Array.from(values, (value) => ({ value: decodeTarget(encoding, value) }));
    return rows.map((_, i) => {
      const shares = values.subarray(i * classes.length, (i + 1) * classes.length);
      const best = argmax(shares);
      if (best < 0) {
        throw new NumericsError(`predict: needs finite probabilities, got NaN for row ${i}.`, {
          where: "predict",
          hint: "The row or the model's weights are not finite.",
        });
      }
      return {
        value: classes[best],
        probabilities: Object.fromEntries(classes.map((name, k) => [name, shares[k]])),
      };
    });
  }

  /** Probabilities of classes, or numbers, of a batch; without gradients, without dropout. */
  private async outputs(features: TableColumn): Promise<Float32Array> {
    const result = inference(this, () => {
      const outputs = this.forward(features);
      return this.config.task === "classification" ? softmax(outputs) : outputs;
    });
    const values = (await result.data()) as Float32Array;
    result.dispose();
    return values;
  }

  /** Features as the tensor [N, in_features] that the layers take; images may come with dims of their own. */
  protected input(features: TableColumn): Tensor {
    const tensor = this.upload(features, "float32");
    const { in_features: width, model_type: family } = this.config;
    if (tensor.ndim < 2 || tensor.size !== tensor.shape[0] * width) {
      throw new ShapeError(`${family}: needs features [N, ${width}], got ${showShape(tensor.shape)}.`, {
        where: family,
      });
    }
    return tensor.ndim === 2 ? tensor : reshape(tensor, [tensor.shape[0], width]);
  }

  private upload(column: TableColumn, dtype: "float32" | "int32"): Tensor {
    if (column instanceof Tensor) return column;
    return fromData(column.data, [...column.shape], { dtype, device: this.device });
  }
}
