/** Measures of predictions on rows that were not trained on. */

import { argmax } from "../models/sampling.js";

/** Collects outputs and targets batch by batch. All sums are in float64, in the order of the rows. */
export interface Score {
  /** `outputs` [N, width] as the model gave them, and one target for each row. */
  add(outputs: ArrayLike<number>, targets: ArrayLike<number>): void;
  /** The measures, under the names that metrics and events have. */
  values(): Record<string, number>;
}

/** Share of the rows whose likeliest class is the right one. */
export class Accuracy implements Score {
  private right = 0;
  private rows = 0;

  add(outputs: ArrayLike<number>, targets: ArrayLike<number>): void {
    const width = outputs.length / targets.length;
    const logits = Float32Array.from(outputs);
    for (let i = 0; i < targets.length; i++) {
      if (argmax(logits.subarray(i * width, (i + 1) * width)) === targets[i]) this.right++;
    }
    this.rows += targets.length;
  }

  values(): Record<string, number> {
    return { valAccuracy: this.right / this.rows };
  }
}

/**
 * Mean absolute error and root of the mean squared error in the target's own unit, and R² = 1 - squared error / squared
 * deviation from the mean.
 */
export class RegressionErrors implements Score {
  private rows = 0;
  private absolute = 0;
  private squared = 0;
  private mean = 0;
  private deviation = 0;

  /** Values are trained on as (value - offset) / scale. */
  constructor(private readonly scale: number) {}

  add(outputs: ArrayLike<number>, targets: ArrayLike<number>): void {
    for (let i = 0; i < targets.length; i++) {
      const error = (outputs[i] - targets[i]) * this.scale;
      this.absolute += Math.abs(error);
      this.squared += error * error;
      // Welford's update of mean and squared deviation.
      this.rows++;
      const delta = targets[i] * this.scale - this.mean;
      this.mean += delta / this.rows;
      this.deviation += delta * (targets[i] * this.scale - this.mean);
    }
  }

  values(): Record<string, number> {
    const { rows, absolute, squared, deviation } = this;
    return { valMae: absolute / rows, valRmse: Math.sqrt(squared / rows), valR2: 1 - squared / deviation };
  }
}
