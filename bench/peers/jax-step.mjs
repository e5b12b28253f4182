// A training step of a GPT in jax-js (jit), on whichever device it was set to. References are counted by hand: `.ref`
// keeps, a use consumes. `jaxStep(jax, model)` gives a function that takes one step and resolves with the loss.

export function jaxStep(jax, { layers, heads, width: C, context: T, batch: B, vocabulary: V }) {
  const { jit, nn, numpy: np, tree, valueAndGrad } = jax;

  let seed = 1;
  const random = () => ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32 - 0.5) * 0.07;
  const weight = (...shape) =>
    np.array(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, random), { shape });
  const params = {
    wte: weight(V, C),
    wpe: weight(T, C),
    lnf: [np.ones([C]), np.zeros([C])],
    h: Array.from({ length: layers }, () => ({
      ln1: [np.ones([C]), np.zeros([C])],
      qkv: [weight(C, 3 * C), np.zeros([3 * C])],
      out: [weight(C, C), np.zeros([C])],
      ln2: [np.ones([C]), np.zeros([C])],
      up: [weight(C, 4 * C), np.zeros([4 * C])],
      down: [weight(4 * C, C), np.zeros([C])],
    })),
  };

  const layerNorm = (x, [g, b]) => {
    const centered = x.ref.sub(np.mean(x, -1, { keepdims: true }));
    const variance = np.mean(centered.ref.mul(centered.ref), -1, { keepdims: true });
    return centered
      .div(np.sqrt(variance.add(1e-5)))
      .mul(g)
      .add(b);
  };
  const linear = (x, [w, b]) => np.matmul(x, w).add(b);
  const gelu = (x) => {
    const inner = x.ref
      .mul(x.ref)
      .mul(x.ref)
      .mul(0.044715)
      .add(x.ref)
      .mul(Math.sqrt(2 / Math.PI));
    return x.mul(np.tanh(inner).add(1)).mul(0.5);
  };

  function loss(p, input, target) {
    const D = C / heads;
    const table = p.wte;
    let x = np.matmul(input, table.ref).reshape([B, T, C]).add(p.wpe);
    const mask = np
      .tril(np.ones([T, T]))
      .sub(1)
      .mul(1e9);
    for (const layer of p.h) {
      const qkv = linear(layerNorm(x.ref, layer.ln1), layer.qkv).reshape([B, T, 3, heads, D]);
      const [q, k, v] = [0, 1, 2].map((i) => np.transpose(qkv.ref.slice([], [], i), [0, 2, 1, 3]));
      qkv.dispose();
      const scores = np
        .matmul(q, np.transpose(k, [0, 1, 3, 2]))
        .mul(1 / Math.sqrt(D))
        .add(mask.ref);
      const y = np.transpose(np.matmul(nn.softmax(scores, -1), v), [0, 2, 1, 3]).reshape([B, T, C]);
      x = x.add(linear(y, layer.out));
      x = x.ref.add(linear(gelu(linear(layerNorm(x, layer.ln2), layer.up)), layer.down));
    }
    mask.dispose();
    const logits = np.matmul(layerNorm(x, p.lnf).reshape([B * T, C]), np.transpose(table));
    return np.sum(nn.logSoftmax(logits, -1).mul(target)).mul(-1 / (B * T));
  }

  const [lr, b1, b2, eps, decay] = [1e-3, 0.9, 0.999, 1e-8, 0.01];
  const step = jit((p, m, v, input, target, c1, c2) => {
    const [value, grads] = valueAndGrad(loss)(tree.ref(p), input, target);
    const m2 = tree.map((m, g) => m.mul(b1).add(g.ref.mul(1 - b1)), m, tree.ref(grads));
    const v2 = tree.map((v, g) => v.mul(b2).add(g.ref.mul(g).mul(1 - b2)), v, grads);
    const p2 = tree.map(
      (w, m, v) =>
        w.mul(1 - lr * decay).sub(
          m
            .mul(c1.ref)
            .div(np.sqrt(v.mul(c2.ref)).add(eps))
            .mul(lr),
        ),
      p,
      tree.ref(m2),
      tree.ref(v2),
    );
    return [value, p2, m2, v2];
  });

  const zeros = (p) => tree.map((x) => np.zeros(x.shape), tree.ref(p));
  const ids = Int32Array.from({ length: B * (T + 1) }, (_, i) => (i * 7919) % V);
  const rows = (offset) =>
    np.array(
      Int32Array.from({ length: B * T }, (_, i) => ids[Math.floor(i / T) * (T + 1) + (i % T) + offset]),
      { dtype: np.int32 },
    );
  const input = nn.oneHot(rows(0), V);
  const target = nn.oneHot(rows(1), V);
  let state = [params, zeros(params), zeros(params)];
  let n = 0;
  return async () => {
    n++;
    const c = (b) => np.array(new Float32Array([1 / (1 - b ** n)]));
    const [value, ...next] = step(...state, input.ref, target.ref, c(b1), c(b2));
    state = next;
    const [last] = await value.data();
    await jax.blockUntilReady(tree.ref(state[0]));
    return last;
  };
}
