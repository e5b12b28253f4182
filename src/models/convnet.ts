/**
 * A small convolutional network for images, in the manner of LeNet (LeCun et al. 1998): convolution, activation and
 * pooling by two, several times, then hidden layers.
 */

import { ConfigError } from "../core/errors.js";
import { Conv2d, Dropout, Linear } from "../nn/index.js";
import { flatten, maxPool2d, reshape } from "../ops/index.js";
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

export interface ConvNetConfig extends TableConfig {
  model_type: "convnet";
  /** Channels, height and width of an image. */
  image_shape: [number, number, number];
  /** Channels after each convolution; each is followed by pooling that halves height and width. */
  channels: number[];
  /** Height and width of the window of a convolution; odd, so that it keeps the size of the image. */
  kernel_size: number;
  /** Widths of the hidden layers between the last convolution and the output. */
  hidden_sizes: number[];
  activation: ActivationName;
  /** Dropout after each hidden layer. */
  dropout: number;
}

const fields = () => ({
  image_shape: field.sizes([1, 28, 28]),
  channels: field.sizes([8, 16]),
  kernel_size: field.size(3),
  hidden_sizes: field.sizes([64]),
  activation: field.oneOf(activationNames),
  dropout: field.fraction(0),
});

/** A small convolutional network: images to classes or numbers. */
export class ConvNet extends TableModel {
  override readonly config: ConvNetConfig;
  readonly convolutions: Conv2d[];
  readonly layers: Linear[];
  readonly head: Linear;
  readonly drop: Dropout;

  static fieldNames(): readonly string[] {
    return tableFieldNames(fields());
  }

  constructor(given: Partial<ConvNetConfig>) {
    super();
    const { image_shape: shape = fields().image_shape.default as number[] } = given;
    const pixels = Array.isArray(shape) ? shape.reduce((a, b) => a * b, 1) : 0;
    const sizes = given.features ? {} : { in_features: pixels };
    const config = readTableConfig("convnet", fields(), { ...sizes, ...given }) as ConvNetConfig;
    const { image_shape, channels, kernel_size, hidden_sizes, out_features, dropout } = config;
    this.config = config;
    checkImages(config);
    const [depth, height, width] = image_shape;
    const depths = [depth, ...channels];
    const padding = (kernel_size - 1) / 2;
    this.convolutions = channels.map((out, i) => new Conv2d(depths[i], out, kernel_size, { padding }));
    const halved = (size: number) => channels.reduce((left) => Math.floor(left / 2), size);
    const widths = [depths[channels.length] * halved(height) * halved(width), ...hidden_sizes];
    this.layers = hidden_sizes.map((width, i) => new Linear(widths[i], width));
    this.head = new Linear(widths[hidden_sizes.length], out_features);
    this.drop = new Dropout(dropout);
  }

  forward(features: TableColumn): Tensor {
    const activation = activations[this.config.activation];
    const rows = this.input(features);
    let x = reshape(rows, [rows.shape[0], ...this.config.image_shape]); // (N, C, H, W)
    for (const convolution of this.convolutions) x = maxPool2d(activation(convolution.forward(x)), 2);
    x = flatten(x, 1);
    for (const layer of this.layers) x = this.drop.forward(activation(layer.forward(x))); // (N, width)
    return this.head.forward(x); // (N, out_features)
  }
}

function checkImages({ image_shape, in_features, kernel_size, channels, features }: ConvNetConfig): void {
  const refuse = (field: string, needs: string, got: unknown): never => {
    throw new ConfigError(`convnet: needs ${needs}, got ${JSON.stringify(got)}.`, { where: "convnet", field });
  };
  if (features && (features.length !== 1 || features[0].kind !== "image")) {
    const names = features.map(({ name }) => name);
    throw new ConfigError(`convnet: needs one image as its only feature, got ${names.join(", ")}.`, {
      where: "convnet",
      hint: 'For other columns take { "model_type": "mlp" }.',
    });
  }
  if (image_shape.length !== 3) refuse("image_shape", "image_shape [channels, height, width]", image_shape);
  const size = image_shape.reduce((a, b) => a * b, 1);
  if (size !== in_features) refuse("image_shape", `image_shape of ${in_features} numbers`, image_shape);
  if (kernel_size % 2 === 0) refuse("kernel_size", "an odd kernel_size", kernel_size);
  if (Math.min(image_shape[1], image_shape[2]) >> channels.length === 0) {
    refuse("channels", `at most ${31 - Math.clz32(Math.min(image_shape[1], image_shape[2]))} convolutions`, channels);
  }
}
