/** A table that is a Blob, trained on: the same weights in Node and in a page. */

import { MemoryStore, train } from "tenon/runs";

const rows = Array.from({ length: 60 }, (_, i) => [i % 7, (i * 11) % 13, ["a", "b", ""][i % 3], (i % 7) + (i % 3) * 2]);

export const trainOnBlob = () =>
  train(
    {
      data: { csv: new Blob([["x,y,group,value", ...rows].join("\n")]), target: "value" },
      model: { model_type: "mlp", hidden_sizes: [8], activation: "gelu", dropout: 0.1 },
      training: { steps: 20, batchSize: 7, learningRate: 1e-2 },
      seed: 11,
      device: "cpu",
    },
    { store: new MemoryStore() },
  );

/** SHA-256 of the weights after 20 steps. */
export const expectedWeights = "51fe740ed60dcfea60046f3146260889595924a1802a84cc2a231923ff1f9e08";
