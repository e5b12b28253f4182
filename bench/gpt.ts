/** The GPTs that several benchmarks train and run: their sizes, batches and floating-point operations. */

export interface Shape {
  layers: number;
  heads: number;
  width: number;
  context: number;
  batch: number;
  vocabulary: number;
}

/** As `createModel` takes it. Without dropout, which the peers' models do not have. */
export const gptConfig = ({ layers, heads, width, context, vocabulary }: Shape) => ({
  model_type: "gpt2",
  n_layer: layers,
  n_head: heads,
  n_embd: width,
  n_positions: context,
  vocab_size: vocabulary,
  embd_pdrop: 0,
  attn_pdrop: 0,
  resid_pdrop: 0,
});

/** Rows of one token more than the context, since each is predicted from those before it. */
export const rowsOf = ({ batch, context, vocabulary }: Shape) =>
  Array.from({ length: batch }, (_, row) =>
    Array.from({ length: context + 1 }, (_, i) => ((row * (context + 1) + i) * 7919) % vocabulary),
  );

/** Floating-point operations of one training step in its matrix products: forward once, backward twice. */
export function stepFlops({ layers, width: C, context: T, batch: B, vocabulary: V }: Shape): number {
  const tokens = B * T;
  const projections = tokens * (layers * 12 * C * C + V * C);
  const attention = layers * tokens * T * C; // scores and weighted sums, the causal half of both
  return 3 * 2 * (projections + attention);
}
