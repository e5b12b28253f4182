/**
 * What newcomers get wrong, through the public entry points: misspelt options, numbers in the place of options, arrays
 * in the place of tensors. Each is a typed error with the next step; nothing is ignored, nothing spoils a model.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as t from "tenon";
import * as nn from "tenon/nn";
import * as optim from "tenon/optim";
import { charTokenizer, trainTokenizer } from "tenon/tokenizers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { setWarningListener } from "../../src/core/warnings.js";

const config = { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8, n_positions: 8, vocab_size: 11 };
let model: t.LanguageModel;
let layer: nn.Linear;
const x = () => t.ones([2, 3]);
const any = (value: unknown): any => value;

beforeAll(async () => {
  await t.init({ device: "cpu" });
  model = await t.createModel(config, undefined, { seed: 1 });
  layer = new nn.Linear(3, 2);
});
afterAll(() => {
  model.dispose();
  layer.dispose();
});

const wrong: [string, () => unknown, string][] = [
  // Options
  ["init", () => t.init(any({ treads: 2 })), 'init: has no option "treads". Did you mean "threads"?'],
  ["tensor", () => t.tensor([1], any({ requires_grad: true })), 'Did you mean "requiresGrad"?'],
  ["zeros of a number", () => t.zeros(any(3)), "zeros: needs a shape of whole numbers from 0 up, got 3. A shape is an"],
  [
    "a size that is no number",
    () => t.ones([Number.NaN]),
    "ones: needs a shape of whole numbers from 0 up, got [NaN].",
  ],
  ["full without a value", () => t.full([2], any(undefined)), "full: needs a number or a boolean for value, got undef"],
  ["arange with options in second place", () => t.arange(5, any({})), "got 5, an object and 1. In full: arange(start,"],
  ["randint without low", () => t.randint(10, any([3]), any(undefined)), "got 10 and [3]. In full: randint(low, high,"],
  ["randn with null", () => t.rand([1], any(null)), "rand: needs its options as an object, got null."],
  ["backward", () => t.ones([]).backward(any({ retain_graph: true })), "backward: the tensor has no history"],
  [
    "backward with PyTorch's spelling",
    () => t.ones([], { requiresGrad: true }).backward(any({ retain_graph: true })),
    'backward: has no option "retain_graph". Did you mean "retainGraph"?',
  ],
  [
    "grad of one tensor",
    () => t.grad(t.ones([], { requiresGrad: true }), any(x())),
    "grad: needs a list of inputs, got",
  ],
  ["intercept", () => t.intercept(any(3)), "intercept: needs a function (call, next), got a number."],
  ["reshape without an array", () => any(x()).reshape(3, 2), "Give them as one array: reshape([3, …])."],
  ["permute without an array", () => any(x()).permute(1, 0), "permute: needs an array of whole numbers, got 1."],
  ["expand without an array", () => x().expand(any(2)), "expand: needs an array of whole numbers, got 2."],
  ["repeat without an array", () => x().repeat(any(2)), "repeat: needs an array of whole numbers, got 2."],
  ["a dim that is a text", () => x().sum({ dim: any("0") }), 'sum: needs dim from -2 to 1 for a 2-d tensor, got "0".'],
  ["softmax(1)", () => x().softmax(any(1)), "softmax: needs its options as an object, got 1. For example { dim: 1 }."],
  // Arrays in the place of tensors
  ["add", () => x().add(any([1, 2, 3])), "add: needs a tensor for b, got an array. Make one with tensor(data)."],
  ["matmul", () => x().matmul(any([1, 2, 3])), "matmul: needs a tensor for b, got an array."],
  ["crossEntropy", () => t.crossEntropy(x(), any([0, 1])), "crossEntropy: needs a tensor for labels, got an array."],
  ["mseLoss", () => t.mseLoss(x(), any([1])), "mseLoss: needs a tensor for target, got an array."],
  ["gather", () => x().gather(1, any([0])), "gather: needs a tensor for index, got an array."],
  ["sum", () => t.sum(any([1])), "sum: needs a tensor for x, got an array."],
  ["conv2d", () => t.conv2d(x(), any(undefined)), "conv2d: needs a tensor for weight, got undefined."],
  ["attention", () => t.scaledDotProductAttention(x(), x(), any(null)), "needs a tensor for v, got null."],
  // Modules
  ["Linear", () => new nn.Linear(3, 2, any({ bais: false })), 'Linear: has no option "bais". Did you mean "bias"?'],
  ["Conv2d", () => new nn.Conv2d(3, 4, 3, any({ pading: 1 })), 'Conv2d: has no option "pading". Did you mean "pad'],
  ["MaxPool2d", () => new nn.MaxPool2d(2, any({ strides: 2 })), 'MaxPool2d: has no option "strides". Did you'],
  ["AvgPool2d", () => new nn.AvgPool2d(2, any(2)), "AvgPool2d: needs its options as an object, got 2."],
  ["Linear with false", () => new nn.Linear(3, 2, any(false)), "Linear: needs its options as an object, got false."],
  [
    "Linear without a size",
    () => new nn.Linear(3, any(undefined)),
    "Linear: needs a whole number from 1 up for outFeatures, got undefined.",
  ],
  ["LSTMCell", () => new nn.LSTMCell(3, 2, any({ bais: false })), 'LSTMCell: has no option "bais".'],
  ["Sequential of a list", () => new nn.Sequential(any([layer])), "Spread a list: new Sequential(...modules)."],
  [
    "Sequential of functions",
    () => new nn.Sequential(any((y: t.Tensor) => y)),
    "needs modules, got a function at 0. Put",
  ],
  ["loadStateDict", () => layer.loadStateDict(any(null)), "loadStateDict: needs tensors by name, got null."],
  ["loadStateDict's options", () => layer.loadStateDict({}, any({ stric: false })), 'Did you mean "strict"?'],
  // Optimizers
  ["a module for parameters", () => new optim.SGD(any(layer)), "SGD: needs a list of parameters, got a Linear. For"],
  [
    "a number for options",
    () => new optim.SGD(layer.parameters(), any(0.1)),
    "SGD: needs its options as an object, got",
  ],
  ["betas", () => new optim.Adam(layer.parameters(), { betas: [0.9, 2] }), "Adam: needs two numbers from 0 up to but"],
  ["no tensor", () => new optim.SGD(any([3])), "SGD: needs leaf tensors as parameters, got a number for 0."],
  [
    "a result",
    () => new optim.SGD([t.ones([1], { requiresGrad: true }).mul(2)]),
    "needs leaf tensors as parameters, got the result of an operation for 0.",
  ],
  [
    "step with a closure",
    () => new optim.SGD(layer.parameters()).step(any(() => 1)),
    "SGD: step needs gradients by name",
  ],
  [
    "step's options",
    () => new optim.SGD(layer.parameters()).step(undefined, any({ scal: 1 })),
    'Did you mean "scale"?',
  ],
  [
    "its state",
    () => new optim.SGD(layer.parameters()).loadStateDict(any(null)),
    "needs what stateDict() gave, got null",
  ],
  ["clipping to 0", () => optim.clipGradNorm_(layer.parameters(), 0), "clipGradNorm_: needs a largest norm above 0"],
  [
    "a schedule without steps",
    () => optim.cosineSchedule(any({})),
    "schedule: needs a whole number from 0 up for steps",
  ],
  // Models
  ["createModel", () => t.createModel(config, undefined, any({ sead: 1 })), 'createModel: has no option "sead".'],
  ...["layer_norm_epsilon", "initializer_range"].map((name): (typeof wrong)[number] => [
    `a ${name} below 0`,
    () => t.createModel({ ...config, [name]: -1 }),
    `gpt2: needs a number from 0 up for ${name}, got -1.`,
  ]),
  ...["embd_pdrop", "attn_pdrop", "resid_pdrop"].map((name): (typeof wrong)[number] => [
    `${name} of 1`,
    () => t.createModel({ ...config, [name]: 1 }),
    `gpt2: needs a number from 0 up to but without 1 for ${name}, got 1.`,
  ]),
  ["createModel of null", () => t.createModel(any(null)), "createModel: needs a config object, got null."],
  [
    "weights that are none",
    () => t.createModel(config, any([1])),
    "0: needs a tensor or { dtype, shape, data }, got a",
  ],
  ["loadModel", () => t.loadModel("nowhere", any({ devise: "cpu" })), 'Did you mean "device"?'],
  ["loadModel of nothing", () => t.loadModel(any(undefined)), "needs a path, a URL or files by name, got undefined."],
  [
    "save to nothing",
    () => model.save(any(undefined)),
    "save: needs a path in a file system, or { store, folder }, got undefined.",
  ],
  ["forward of null", () => model.forward(any(null)), "forward: needs token ids as numbers, lists of them or a tensor"],
  ["forward of a text", () => model.forward(any("ab")), "Encode the text: tokenizer.encode(text).ids."],
  ["loss", () => model.loss([[1, 2]], undefined, any({ reductoin: "sum" })), 'Did you mean "reduction"?'],
  [
    "generate of nothing",
    () => model.generate(any(undefined)),
    "generate: needs a text or token ids for a prompt, got u",
  ],
  ["generate of a tensor", () => model.generate(any(t.ones([1]))), "Read it first: Array.from(await ids.data())."],
  ["generate with null", () => model.generate([1], any(null)), "generate: needs its options as an object, got null."],
  ...[Number.NaN, -1, "0.1", Number.POSITIVE_INFINITY].map((learningRate): (typeof wrong)[number] => [
    `a learning rate of ${learningRate}`,
    () => model.trainStep({ ids: [[1, 2]] }, { learningRate: any(learningRate) }),
    "trainStep: needs a finite number from 0 up for learningRate, got",
  ]),
  [
    "clipNorm 0",
    () => model.trainStep({ ids: [[1, 2]] }, { clipNorm: 0 }),
    "needs a number above 0 for clipNorm, got 0.",
  ],
  ["labels misspelt", () => model.trainStep(any({ ids: [[1, 2]], label: [[1, 2]] })), 'Did you mean "labels"?'],
  [
    "an optimizer of another model's",
    () => model.trainStep({ ids: [[1, 2]] }, { optimizer: new optim.SGD(layer.namedParameters(), { lr: 1 }) }),
    "trainStep: needs an optimizer of the model's parameters, got SGD (weight, bias) and Gpt2, which holds none of",
  ],
  [
    "maxTokens and maxNewTokens",
    () => model.generate([1], { maxTokens: 2, maxNewTokens: 3 }),
    "generate: needs maxTokens or maxNewTokens, which are the same, got both, 2 and 3.",
  ],
  ...Object.entries({ weightDecay: 0.1, betas: [0.9, 0.99], eps: 1e-6 }).map(
    ([name, value]): (typeof wrong)[number] => [
      `${name} beside an optimizer`,
      () => model.trainStep({ ids: [[1, 2]] }, { optimizer: new optim.SGD(model.namedParameters()), [name]: value }),
      `trainStep: needs ${name} in the optimizer itself, got it beside a SGD. For example new AdamW(`,
    ],
  ),
  [
    "a weight decay below 0",
    () => model.trainStep({ ids: [[1, 2]] }, { weightDecay: -1 }),
    "trainStep: needs a number from 0 up for weightDecay, got -1.",
  ],
  [
    "a shape in numbers",
    () => any(t.zeros)(2, 3),
    "zeros: needs its shape as one list, got another number after it: 3. For example [2, 3]",
  ],
  [
    "a gradient without its name",
    () => any(layer.weight.sum()).backward(t.ones([])),
    "backward: needs its gradient by name, got a Tensor alone. Write backward({ gradient }).",
  ],
  [
    "a tensor of an object",
    () => t.tensor(any({ data: [1] })),
    "got an object at data. Flat values and their shape: fromData(",
  ],
  ["an abbreviation", () => new optim.AdamW(layer.parameters(), any({ wd: 0.1 })), 'Did you mean "weightDecay"?'],
  [
    "weights of a smaller model",
    async () => {
      const file = await t.saveWeights(model);
      const bigger = new TextEncoder().encode(JSON.stringify({ ...config, n_layer: 2 }));
      await t.loadModel({ "config.json": bigger, "model.safetensors": file });
    },
    "files: needs exactly the keys of its own state, got missing transformer.h.1.ln_1.weight, ",
  ],
  [
    "a list that holds no files",
    () => t.loadModel(any([new Uint8Array(1)])),
    "folder: needs files in its list, got an Uint8Array.",
  ],
  [
    "the hash of parameters",
    () => t.hashWeights(any(layer.stateDict())),
    "hashWeights: needs a module, got an object.",
  ],
  [
    "weights into nothing",
    () => t.loadWeights(any(undefined), new Uint8Array()),
    "loadWeights: needs a module, got un",
  ],
  ["saving a list", () => t.saveWeights(any([x()])), "saveWeights: needs tensors by name, got an array."],
  ["values of no file", () => t.stateValues(any(undefined)), "stateValues: needs tensors by name, got undefined."],
  [
    "dropout of nothing",
    () => nn.setGenerator(any(undefined), undefined),
    "setGenerator: needs a module, got undefined",
  ],
  ["a seed as a generator", () => nn.setGenerator(new nn.Dropout(), any(5)), "needs a Generator for generator, got 5."],
  ["an optimizer's name", () => model.trainStep({ ids: [[1, 2]] }, { optimizer: any("adam") }), 'got "adam".'],
];

test.each(wrong)("%s", async (_, run, message) => {
  const before = await t.hashWeights(model);
  const refusal = await (async () => run())().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(refusal).toBeInstanceOf(t.TenonError);
  expect((refusal as Error).message).toContain(message);
  expect(await t.hashWeights(model)).toBe(before);
});

test("a model of tables: misspelt options are refused; a row that is no number is told, not classified", async () => {
  const features = [{ name: "x", kind: "number", width: 1, offset: 0, scale: 1 }];
  const target = { name: "y", task: "classification", classes: ["a", "b"], offset: 0, scale: 1 };
  const table = (await t.createModel(any({ model_type: "mlp", features, target }), undefined, { seed: 1 })) as any;
  expect((await table.predict([{ x: 1 }]))[0].value).toMatch(/^[ab]$/);
  const batch = { features: { data: [1], shape: [1, 1] }, target: { data: [0], shape: [1] } };
  expect(() => table.loss(batch, { reductoin: "sum" })).toThrow(
    'loss: has no option "reductoin". Did you mean "reduction"?',
  );
  table.head.weight.view().fill(Number.NaN);
  await expect(table.predict([{ x: 1 }])).rejects.toThrow("predict: needs finite probabilities, got NaN for row 0.");
  table.dispose();
});

test("weights that are not finite are told, not decoded", async () => {
  const broken = await t.createModel(config, undefined, { seed: 1 });
  const { "transformer.ln_f.bias": bias } = broken.stateDict();
  t.noGrad(() => nn.init.constant_(bias as t.Parameter, Number.NaN));
  for (const temperature of [0, 1]) {
    await expect(broken.generate([1], { temperature, maxTokens: 2 })).rejects.toThrow(t.NumericsError);
  }
  broken.dispose();
});

test("a prompt that the tokenizer does not know is told from an empty one", async () => {
  model.tokenizer = charTokenizer("abcdefghijk");
  await expect(model.generate("")).rejects.toThrow("Begin with the token of a line end");
  await expect(model.generate("?!")).rejects.toThrow("No part of the text is in the tokenizer's vocabulary.");
  model.tokenizer = undefined;
});

/** What is warned of while `run` runs. */
async function warningsOf(run: () => unknown): Promise<string[]> {
  const told: string[] = [];
  const before = setWarningListener(({ message }) => told.push(message));
  try {
    await run();
    return told;
  } finally {
    setWarningListener(before);
  }
}

test("characters of a prompt that the tokenizer leaves out are named", async () => {
  const generate = (prompt: string | string[]) => warningsOf(() => model.generate(any(prompt), { maxTokens: 1 }));
  model.tokenizer = charTokenizer("abcdefghi k");
  expect(await generate("abc?\n?a!")).toEqual([
    'generate: the tokenizer does not know "?", "\\n" and "!"; the prompt is read without.',
  ]);
  expect(await generate(["a b", "cab"])).toEqual([]);
  model.tokenizer = await trainTokenizer(["ab cd ab cd ab"], { model: "wordpiece", vocabSize: 11 });
  expect(await generate("ab cd")).toEqual([]); // white space separates words
  model.tokenizer = undefined;
});

test("a field of a config that is nearly a known one is warned of, once, in code and not in files", async () => {
  const create = (change: object) => warningsOf(async () => (await t.createModel({ ...config, ...change })).dispose());
  const message = (name: string, near: string) =>
    `createModel: the config's field "${name}" is not known and has no effect. Did you mean "${near}"?`;
  expect(await create({ n_layers: 2 })).toEqual([message("n_layers", "n_layer")]);
  expect(await create({ n_layers: 2 })).toEqual([]);
  expect(await create({ vocabSize: 2 })).toEqual([message("vocabSize", "vocab_size")]);
  const ofOthers = { n_ctx: 8, pad_token_id: 0, summary_type: "cls_index", use_cache: true, torch_dtype: "float32" };
  expect(await create({ ...ofOthers, architectures: ["GPT2LMHeadModel"], transformers_version: "4.0" })).toEqual([]);
  const table = { out_features: 1, task: "regression", hidden_sizes: [4] };
  expect(await create({ ...table, model_type: "mlp", in_features: 2, activations: "relu" })).toContain(
    message("activations", "activation"),
  );
  expect(await create({ ...table, model_type: "convnet", image_shape: [1, 4, 4], chanels: [1] })).toContain(
    message("chanels", "channels"),
  );
  const folder = mkdtempSync(join(tmpdir(), "tenon-"));
  const typo = await t.createModel({ ...config, n_heads: 2 });
  await typo.save(folder);
  typo.dispose();
  expect(await warningsOf(async () => (await t.loadModel(folder)).dispose())).toEqual([]);
});

test("a config of more layers than memory has room for is refused before any is made", async () => {
  await expect(t.createModel({ model_type: "gpt2", n_layer: 1e9 })).rejects.toThrow(/a whole number from 1 to 10000/);
});

test.each([{ scale_attn_by_inverse_layer_idx: true }, { scale_attn_weights: false }])(
  "a config that asks for other attention is refused, not computed as if it had not: %j",
  async (more) => {
    const config = { model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 8, n_positions: 8, vocab_size: 4 };
    await expect(t.createModel({ ...config, ...more })).rejects.toThrow(/attention scaled by the width of its heads/);
    const plain = { scale_attn_by_inverse_layer_idx: false, scale_attn_weights: true };
    (await t.createModel({ ...config, ...plain })).dispose();
  },
);

test("a file in the place of a folder is told which folder it is in", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tenon-"));
  await model.save(folder);
  const file = join(folder, "model.safetensors");
  const message = "model.safetensors: is a file, a folder was expected. Name the folder that holds it: ";
  await expect(t.loadModel(file)).rejects.toThrow(`${message}${JSON.stringify(`${folder}/`)}.`);
  await expect(t.loadModel(pathToFileURL(file))).rejects.toThrow(
    `${message}${JSON.stringify(`${pathToFileURL(folder).href}/`)}.`,
  );
});

test("a file: URL names a folder, blanks and umlauts included", async () => {
  const folder = join(mkdtempSync(join(tmpdir(), "tenon-")), "a b ü");
  await model.save(folder);
  const loaded = await t.loadModel(pathToFileURL(`${folder}/`));
  expect(await t.hashWeights(loaded)).toBe(await t.hashWeights(model));
  loaded.dispose();
  writeFileSync(join(folder, "file"), "");
  await expect(model.save(join(folder, "file"))).rejects.toThrow(t.RunError);
});

test("JSON and printing describe tensors and modules, and read no values", () => {
  const tensor = t.zeros([2, 3]);
  expect(JSON.stringify({ tensor })).toBe('{"tensor":"tensor([2, 3], float32)"}');
  expect(JSON.parse(JSON.stringify(layer)).weight).toBe("tensor([2, 3], float32)");
  expect((layer as any)[Symbol.for("nodejs.util.inspect.custom")]()).toBe("Linear(3, 2)");
});

test("what Python would do: a gradient set to null, and the norm of none", async () => {
  const w = t.tensor([1, 2], { requiresGrad: true });
  w.sum().backward();
  w.grad = any(null);
  w.sum().backward();
  expect(await w.grad!.toArray()).toEqual([1, 1]);
  expect(await optim.clipGradNorm_([t.ones([2])], 1).item()).toBe(0);
  expect(t.full([1], true).dtype).toBe("bool");
});

test("rows that are none, targets that are none, files that are none", async () => {
  const model = await t.createModel({
    model_type: "gpt2",
    n_layer: 1,
    n_head: 1,
    n_embd: 4,
    n_positions: 4,
    vocab_size: 3,
  });
  expect(() => model.forward([null] as any)).toThrow(t.ConfigError);
  expect(() => model.forward([[1, 2], 3] as any)).toThrow("needs rows that are lists of token ids, got a number among");
  await expect(model.trainStep({ ids: [[1, 2], null] } as any)).rejects.toThrow("lists of token ids, got null among");
  for (const target of [null, {}, 5]) {
    await expect(model.save(target as any)).rejects.toThrow(
      "save: needs a path in a file system, or { store, folder }, got",
    );
  }
  await expect(t.loadModel({ "config.json": "{}" } as any)).rejects.toThrow("config.json: needs its bytes as");
  model.dispose();
});
