// A training step of a GPT in TensorFlow.js, on whichever backend it was set to. `tfjsStep(tf, model)` gives a function
// that takes one step and resolves with the loss.

export function tfjsStep(tf, { layers, heads, width: C, context: T, batch: B, vocabulary: V }) {
  let seed = 1;
  const random = () => ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5) * 0.07;
  const weight = (...shape) =>
    tf.variable(tf.tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, random), shape));
  const vector = (n, value) => tf.variable(tf.fill([n], value));
  const p = {
    wte: weight(V, C),
    wpe: weight(T, C),
    lnf: [vector(C, 1), vector(C, 0)],
    h: Array.from({ length: layers }, () => ({
      ln1: [vector(C, 1), vector(C, 0)],
      qkv: [weight(C, 3 * C), vector(3 * C, 0)],
      out: [weight(C, C), vector(C, 0)],
      ln2: [vector(C, 1), vector(C, 0)],
      up: [weight(C, 4 * C), vector(4 * C, 0)],
      down: [weight(4 * C, C), vector(C, 0)],
    })),
  };
  const layerNorm = (x, [g, b]) => {
    const centered = x.sub(x.mean(-1, true));
    return centered.div(centered.square().mean(-1, true).add(1e-5).sqrt()).mul(g).add(b);
  };
  const linear = (x, [w, b]) => x.matMul(w).add(b);
  const gelu = (x) =>
    x
      .mul(
        x
          .add(x.mul(x).mul(x).mul(0.044715))
          .mul(Math.sqrt(2 / Math.PI))
          .tanh()
          .add(1),
      )
      .mul(0.5);
  const mask = tf.tensor(
    Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) ? -1e9 : 0)),
    [T, T],
  );

  function loss(input, target) {
    const D = C / heads;
    let x = input
      .matMul(p.wte)
      .reshape([B, T, C])
      .add(p.wpe)
      .reshape([B * T, C]);
    for (const layer of p.h) {
      const parts = tf.split(linear(layerNorm(x, layer.ln1), layer.qkv), 3, 1);
      const [q, k, v] = parts.map((part) => part.reshape([B, T, heads, D]).transpose([0, 2, 1, 3]));
      const weights = tf.softmax(
        tf
          .matMul(q, k, false, true)
          .mul(1 / Math.sqrt(D))
          .add(mask),
      );
      const y = tf
        .matMul(weights, v)
        .transpose([0, 2, 1, 3])
        .reshape([B * T, C]);
      x = x.add(linear(y, layer.out));
      x = x.add(linear(gelu(linear(layerNorm(x, layer.ln2), layer.up)), layer.down));
    }
    const logits = tf.matMul(layerNorm(x, p.lnf), p.wte, false, true);
    return tf
      .logSoftmax(logits)
      .mul(target)
      .sum()
      .mul(-1 / (B * T));
  }

  const ids = Int32Array.from({ length: B * (T + 1) }, (_, i) => (i * 7919) % V);
  const rows = (offset) =>
    tf
      .oneHot(
        tf.tensor1d(
          Int32Array.from({ length: B * T }, (_, i) => ids[Math.floor(i / T) * (T + 1) + (i % T) + offset]),
          "int32",
        ),
        V,
      )
      .toFloat();
  const [input, target] = [rows(0), rows(1)];
  const optimizer = tf.train.adam(1e-3, 0.9, 0.999, 1e-8);
  return async () => {
    const value = optimizer.minimize(() => loss(input, target), true);
    const [last] = await value.data();
    value.dispose();
    return last;
  };
}
