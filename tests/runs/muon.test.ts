/** `"optimizer": "muon"` in a config: Muon for the weight matrices inside a network, AdamW for everything else. */

import { createModel, init, memory, zeros } from "tenon";
import type { Module } from "tenon/nn";
import { AdamW, Muon } from "tenon/optim";
import { MemoryStore, replay, train } from "tenon/runs";
import { afterAll, describe, expect, test } from "vitest";
import { resolveSettings } from "../../src/runs/config.js";
import { makeOptimizer } from "../../src/runs/optimizer.js";
import type { Task } from "../../src/runs/task.js";
import { openWebGpu } from "../backend/webgpu/device.js";

const devices = ["cpu", ...((await openWebGpu()) ? (["webgpu"] as const) : [])] as const;
afterAll(() => init({ device: "cpu" }));

const gpt2 = { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16, n_positions: 16 };
const optimizerOf = (model: Module, training: object = {}) =>
  makeOptimizer({ model } as Task, resolveSettings({ training: { optimizer: "muon", ...training } }).training);

describe("who is trained by Muon", () => {
  const attention = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"].map((n) => `transformer.h.0.${n}.weight`);
  const embeddings = ["transformer.wte.weight", "transformer.wpe.weight"];
  test.each([
    ["gpt2", { ...gpt2, vocab_size: 8 }, attention, embeddings],
    [
      "gpt2 with a head of its own",
      { ...gpt2, vocab_size: 8, tie_word_embeddings: false },
      attention,
      [...embeddings, "lm_head.weight"],
    ],
    [
      "mlp",
      { model_type: "mlp", in_features: 4, out_features: 2, hidden_sizes: [8, 8] },
      ["layers.0.weight", "layers.1.weight"],
      ["head.weight"],
    ],
    [
      "convnet, whose convolutions are no matrices",
      { model_type: "convnet", image_shape: [1, 8, 8], channels: [4], hidden_sizes: [8], out_features: 2 },
      ["layers.0.weight"],
      ["convolutions.0.weight", "head.weight"],
    ],
  ])("%s", async (_, config, hidden, decaying) => {
    const model: Module = await createModel(config as never, undefined, { seed: 1 });
    const optimizer = optimizerOf(model, { weightDecay: 0.2, adamwLearningRate: 3e-4 });
    const [muon, ...adamw] = optimizer.stateDict().groups;
    expect(muon.params).toEqual(hidden);
    expect(muon.options).toMatchObject({ lr: 1e-3, weightDecay: 0.2, momentum: 0.95, adjustLr: "matchRmsAdamw" });
    expect(adamw[0].params).toEqual(decaying);
    expect(adamw.map(({ options }) => options)).toMatchObject([
      { lr: 3e-4, weightDecay: 0.2, betas: [0.9, 0.99] },
      { lr: 3e-4, weightDecay: 0 },
    ]);
    const all = [...model.namedParameters()].map(([name]) => name);
    expect([...muon.params, ...adamw.flatMap(({ params }) => params)].sort()).toEqual(all.sort());
    model.dispose();
  });

  test("bare matrices: all; without one it is refused, and so is its option beside another optimizer", async () => {
    const w = zeros([2, 2], { requiresGrad: true });
    const run = await train(
      { parameters: { w }, loss: () => w.sum(), batches: [[1]], training: { optimizer: "muon", steps: 1 } },
      { store: new MemoryStore() },
    );
    expect(run.steps).toBe(1);
    expect(Math.max(...(await w.data()))).toBeLessThan(0);
    w.dispose();
    const linear: Module = await createModel({
      model_type: "mlp",
      in_features: 4,
      out_features: 2,
      hidden_sizes: [],
    } as never);
    expect(() => optimizerOf(linear)).toThrow(
      'train: optimizer "muon" needs a weight matrix inside the network, got none. Embeddings, the head,',
    );
    linear.dispose();
    const before = memory().live;
    const data = { csv: new File([`x,y${"\n1,a\n2,b".repeat(20)}`], "t.csv"), target: "y" };
    const config = { data, model: { model_type: "mlp", hidden_sizes: [] }, training: { optimizer: "muon" } } as const;
    await expect(train(config, { store: new MemoryStore() }).result).rejects.toThrow(
      /needs a weight matrix inside the network/,
    );
    expect(memory().live, "the model was freed").toBe(before);
    expect(() => resolveSettings({ training: { adamwLearningRate: 1 } })).toThrow(
      '"training.adamwLearningRate" needs no value where the optimizer is "adamw", got 1',
    );
  });
});

test("a step is one of Muon and one of AdamW; its state is taken by another, and no other is", async () => {
  const make = () => createModel({ ...gpt2, vocab_size: 8 }, undefined, { seed: 1 });
  const [model, byHand] = [(await make()).eval(), (await make()).eval()];
  const isHidden = ([name, { ndim }]: [string, { ndim: number }]) => ndim === 2 && /\.h\./.test(name);
  const named = [...byHand.namedParameters()];
  const [embeddings, vectors] = [2, 1].map((n) => named.filter((p) => !isHidden(p) && p[1].ndim === n));
  const adjustLr = "matchRmsAdamw";
  const muon = new Muon(named.filter(isHidden), { lr: 1e-2, weightDecay: 0.1, momentum: 0.9, adjustLr });
  const adamw = new AdamW(
    [
      { params: embeddings, weightDecay: 0.1 },
      { params: vectors, weightDecay: 0 },
    ],
    { lr: 5e-3, betas: [0.9, 0.95] },
  );
  const training = { learningRate: 1e-2, adamwLearningRate: 5e-3, momentum: 0.9, betas: [0.9, 0.95] };
  let optimizer = optimizerOf(model, training);
  for (let step = 0; step < 4; step++) {
    for (const each of [model, byHand]) {
      each.zeroGrad();
      const loss = each.loss([[1, 2, 3, 4, 1, 2, 3, 4]]);
      loss.backward();
      loss.dispose();
    }
    optimizer.lr = 1e-2 / 2 ** step;
    [muon.lr, adamw.lr] = [1e-2 / 2 ** step, 5e-3 / 2 ** step];
    optimizer.step(undefined, {});
    muon.step();
    adamw.step();
    const next = optimizerOf(model, training);
    next.loadStateDict(optimizer.stateDict());
    optimizer.dispose();
    optimizer = next;
  }
  for (const [name, parameter] of model.namedParameters()) {
    expect([...(await parameter.data())], name).toEqual([...(await new Map(named).get(name)!.data())]);
  }
  expect(() => optimizer.loadStateDict(adamw.stateDict())).toThrow("needs the state of MuonWithAdamW, got AdamW");
  for (const each of [optimizer, muon, adamw, model, byHand]) each.dispose();
});

describe.each(devices)("a run on %s", (device) => {
  const config = {
    data: { corpus: "tales", length: 4000 },
    model: { model_type: "gpt2", n_layer: 1, n_head: 2, n_embd: 16 },
    training: {
      optimizer: "muon",
      learningRate: 1e-2,
      adamwLearningRate: 5e-3,
      steps: 12,
      batchSize: 2,
      blockSize: 16,
      dropout: 0.1,
      checkpointEvery: 5,
      sampleEvery: 0,
    },
    device,
  } as const;

  test("learns, goes on from a checkpoint with the same bits, and is replayed", async () => {
    const store = new MemoryStore();
    const whole = train(config, { store });
    const losses: number[] = [];
    for await (const event of whole) if (event.type === "step") losses.push(event.loss);
    const { weightsHash, executionId } = await whole;
    expect(losses[11]).toBeLessThan(losses[0] - 0.2);

    const begun = train(config, { store });
    for await (const event of begun) if (event.type === "step" && event.step === 7) begun.stop();
    const stopped = await begun;
    expect(stopped).toMatchObject({ stopped: true });
    expect(await train(config, { store, resume: stopped.executionId })).toMatchObject({ steps: 12, weightsHash });
    expect((await replay(executionId, { store })).verdict).toBe("equal bits");
  });
});
