/** A multilayer perceptron for tables: linear layers with an activation between them. */

import { Dropout, Linear } from "../nn/index.js";
import type { Tensor } from "../tensor/tensor.js";
import { type ActivationName, activationNames, field } from "./config.js";
import {
  activations,
  readTableConfig,
  type TableColumn,
  type TableConfig,
  TableModel,
  tableFieldNames,
} from "./table-model.js";

export interface MlpConfig extends TableConfig {
  model_type: "mlp";
  /** Widths of the hidden layers; none makes it a linear (logistic) regression. */
  hidden_sizes: number[];
  activation: ActivationName;
  /** Dropout after each hidden layer. */
  dropout: number;
}

const fields = () => ({
  hidden_sizes: field.sizes([64, 64]),
  activation: field.oneOf(activationNames),
  dropout: field.fraction(0),
});

/** A network of fully connected layers over the columns of a table. */
export class Mlp extends TableModel {
  override readonly config: MlpConfig;
  readonly layers: Linear[];
  readonly head: Linear;
  readonly drop: Dropout;

  static fieldNames(): readonly string[] {
    return tableFieldNames(fields());
  }

  constructor(given: object) {
    super();
    const config = readTableConfig("mlp", fields(), given) as MlpConfig;
    const { in_features, out_features, hidden_sizes, dropout } = config;
    this.config = config;
    const widths = [in_features, ...hidden_sizes];
    this.layers = hidden_sizes.map((width, i) => new Linear(widths[i], width));
    this.head = new Linear(widths[hidden_sizes.length], out_features);
    this.drop = new Dropout(dropout);
  }

  forward(features: TableColumn): Tensor {
    const activation = activations[this.config.activation];
    let x = this.input(features); // (N, in_features)
    for (const layer of this.layers) x = this.drop.forward(activation(layer.forward(x))); // (N, width)
    return this.head.forward(x); // (N, out_features)
  }
}
