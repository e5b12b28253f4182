/** Recurrent cells: one step of a sequence. Parameter names and gate order are PyTorch's. */

import type { DeviceName } from "../backend/backend.js";
import { kindOf, misfit, showShape, TenonError } from "../core/errors.js";
import { checkCounts, checkOptions } from "../core/options.js";
import { checkTensors } from "../ops/define.js";
import { type CellWeights, gruCell, lstmCell } from "../ops/index.js";
import { zeros } from "../tensor/create.js";
import type { Parameter, Tensor } from "../tensor/tensor.js";
import { type InitialCalls, initializeAlone, parameter, uniform_ } from "./init.js";
import { Module } from "./module.js";

interface CellOptions {
  bias?: boolean;
  device?: DeviceName;
}

/** What cells share: weights for `gates` gates of `hiddenSize`, uniform within 1 / sqrt(hiddenSize). */
abstract class Cell extends Module {
  weight_ih: Parameter;
  weight_hh: Parameter;
  bias_ih?: Parameter;
  bias_hh?: Parameter;

  constructor(
    gates: number,
    readonly inputSize: number,
    readonly hiddenSize: number,
    options: CellOptions,
  ) {
    super();
    checkOptions(this.constructor.name, options, ["bias", "device"]);
    checkCounts(this.constructor.name, { inputSize, hiddenSize });
    const { bias = true, device } = options;
    this.weight_ih = parameter([gates * hiddenSize, inputSize], device);
    this.weight_hh = parameter([gates * hiddenSize, hiddenSize], device);
    if (bias) {
      this.bias_ih = parameter([gates * hiddenSize], device);
      this.bias_hh = parameter([gates * hiddenSize], device);
    }
    initializeAlone(this);
  }

  override resetParameters(calls: InitialCalls): void {
    const high = 1 / Math.sqrt(this.hiddenSize);
    for (const name of ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] as const) {
      const target = this[name];
      if (target) uniform_(target, { low: -high, high, call: calls(name) });
    }
  }

  protected get weights(): CellWeights {
    return { weightIh: this.weight_ih, weightHh: this.weight_hh, biasIh: this.bias_ih, biasHh: this.bias_hh };
  }

  /** A state of zeros for a batch like that of x [B, inputSize]. */
  protected start(x: Tensor): Tensor {
    checkTensors(this.constructor.name, { x });
    if (x.ndim !== 2) throw misfit(this.constructor.name, `needs x [B, ${this.inputSize}], got ${showShape(x.shape)}.`);
    return zeros([x.shape[0], this.hiddenSize], { dtype: "float32", device: x.device });
  }

  protected override describe(): string {
    return `${this.inputSize}, ${this.hiddenSize}`;
  }
}

/** Long short-term memory (Hochreiter and Schmidhuber 1997). */
export class LSTMCell extends Cell {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(4, inputSize, hiddenSize, options);
  }

  /** x [B, inputSize] and state [h, c], each [B, hiddenSize] (zeros unless given): the next [h, c]. */
  forward(x: Tensor, state: readonly [Tensor, Tensor] = [this.start(x), this.start(x)]): [Tensor, Tensor] {
    if (!Array.isArray(state))
      throw new TenonError(`LSTMCell: needs a state [h, c], got ${kindOf(state)}.`, { where: "LSTMCell" });
    const [h, c] = state;
    return lstmCell(x, h, c, this.weights);
  }
}

/** Gated recurrent unit (Cho et al. 2014). */
export class GRUCell extends Cell {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(3, inputSize, hiddenSize, options);
  }

  /** x [B, inputSize] and h [B, hiddenSize] (zeros unless given): the next h. */
  forward(x: Tensor, h: Tensor = this.start(x)): Tensor {
    return gruCell(x, h, this.weights);
  }
}
