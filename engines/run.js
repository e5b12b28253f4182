/**
 * The run that every engine makes: a baby GPT with dropout, shuffled data, a cosine schedule, checkpoints, and sampling
 * at the end. It takes the library as an argument, so that Node, Bun, Deno and pages run the same file.
 */

/** @param {number} steps */
export const config = (steps) => ({
  data: { corpus: "tales", length: 30_000 },
  tokenizer: "char",
  model: { model_type: "gpt2", n_layer: 2, n_head: 2, n_embd: 32, n_positions: 32 },
  training: {
    steps,
    batchSize: 6,
    blockSize: 32,
    accumulate: 2,
    learningRate: 5e-3,
    schedule: "cosine",
    warmupSteps: Math.min(10, steps),
    dropout: 0.1,
    evalEvery: Math.max(1, Math.floor(steps / 4)),
    evalFraction: 0.25,
    sampleEvery: 0,
    checkpointEvery: steps,
  },
  device: "cpu",
  numerics: "portable",
  deterministic: true,
  seed: 1337,
});

/**
 * Trains, reads the weights back, and lets the model write.
 * @param {{ tenon: typeof import("tenon"), runs: typeof import("tenon/runs") }} library
 * @param {{ steps: number, threads: number }} options
 */
export async function engineRun({ tenon, runs }, { steps, threads }) {
  const store = new runs.MemoryStore();
  const result = await runs.train({ ...config(steps), threads }, { store });
  const { folder, manifest } = await runs.loadRun(result.executionId, { store });
  const checkpoint = `${folder}/checkpoints/step-${String(steps).padStart(6, "0")}`;
  const model = await tenon.loadModel({ store, folder: checkpoint });
  const { tokens, text } = await model.generate("\n", { maxTokens: 60, temperature: 0.8, topK: 20, seed: 7 });
  model.dispose();
  return {
    weightsHash: result.weightsHash,
    metricsHash: manifest.files["metrics.jsonl"].sha256,
    tokens,
    text,
    runId: result.runId,
    threads: result.threads,
  };
}
