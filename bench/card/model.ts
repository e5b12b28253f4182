/** GPTs with random weights, drawn on the card: on this side, 124 million take seconds. */

import { type DType, type LanguageModel, noGrad, Parameter, rand, tidy } from "../../src/index.js";
import { Gpt2 } from "../../src/models/gpt2.js";
import { deferInit } from "../../src/nn/index.js";
import { gptConfig, type Shape } from "../gpt.js";

/** The model that `createModel` makes, its matrices of `dtype`. */
export function randomGpt(shape: Shape, dtype: DType = "float32"): LanguageModel {
  const model = deferInit(() => new Gpt2(gptConfig(shape)));
  noGrad(() => {
    for (const parameter of model.parameters())
      tidy(() => void parameter.copy_(rand(parameter.shape).sub(0.5).mul(0.1)));
    if (dtype === "float32") return;
    for (const module of model.modules())
      for (const [name, value] of Object.entries(module))
        if (value instanceof Parameter && value.ndim === 2) {
          Object.assign(module, { [name]: new Parameter(value.detach().to({ dtype }), false) });
          value.dispose();
        }
  });
  return model;
}
