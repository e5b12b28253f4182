/** Each optimizer against its formula in float64, over several steps; states, groups. */

import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { memory, init as start } from "../../src/backend/devices.js";
import { ConfigError, MemoryBudgetError, ShapeError } from "../../src/core/errors.js";
import { Linear } from "../../src/nn/index.js";
import { matmul, mul, sum, transpose } from "../../src/ops/index.js";
import { Adam, AdamW, decayGroups, Muon, type Optimizer, orthogonalize, SGD } from "../../src/optim/index.js";
import { fromData, ones, tensor } from "../../src/tensor/create.js";
import { listOps } from "../../src/tensor/op.js";
import { Parameter } from "../../src/tensor/tensor.js";
import "../../src/tensor/autograd.js";
import "../../src/tensor/transfer.js";

beforeAll(() => start({ device: "reference" }));
afterAll(() => start({ device: "auto" }));

/** A state whose first group has other options. */
const withOptions = (state: any, options: unknown) => ({
  ...state,
  groups: [
    { ...state.groups[0], options: typeof options === "object" ? { ...state.groups[0].options, ...options } : options },
  ],
});

const STEPS = 5;
const p0 = [0.5, -1.25, 3, 1e-3];
/** The gradient at each step: of fixed numbers, not of the parameters, so that only the update is tested. */
const gradient = (step: number) => p0.map((_, i) => Math.fround(Math.sin(3 * step + i) * (i + 1)));
const fresh = () => new Parameter(tensor(p0));

/** The parameter after each step. */
async function run(parameter: Parameter, optimizer: Optimizer<{ lr: number }>, steps = STEPS): Promise<number[]> {
  for (let step = 1; step <= steps; step++) optimizer.step([tensor(gradient(step))]);
  return [...(await parameter.data())];
}

function near(got: number[], want: number[], tolerance = 1e-6): void {
  expect(got.length).toBe(want.length);
  got.forEach((value, i) => {
    expect(Math.abs(value - want[i]), `${got} and ${want}`).toBeLessThan(tolerance * Math.max(1, Math.abs(want[i])));
  });
}

/** One element's walk: `next` takes the element, its gradient, its moments and the step's number. */
function walk(next: (p: number, g: number, state: number[], step: number) => number): number[] {
  return p0.map((start, i) => {
    let p = start;
    const state = [0, 0];
    for (let step = 1; step <= STEPS; step++) p = next(p, gradient(step)[i], state, step);
    return p;
  });
}

describe("against float64", () => {
  test("SGD, plain and with weight decay", async () => {
    const p = fresh();
    const got = await run(p, new SGD([p], { lr: 0.1, weightDecay: 0.2 }));
    near(
      got,
      walk((x, g) => x - 0.1 * (g + 0.2 * x)),
    );
  });

  test.each([false, true])("SGD with momentum, Nesterov %s", async (nesterov) => {
    const p = fresh();
    const dampening = nesterov ? 0 : 0.3;
    const got = await run(p, new SGD([p], { lr: 0.1, momentum: 0.9, dampening, nesterov, weightDecay: 0.01 }));
    const want = walk((x, gradient, state, step) => {
      const g = gradient + 0.01 * x;
      state[0] = step === 1 ? g : 0.9 * state[0] + (1 - dampening) * g;
      return x - 0.1 * (nesterov ? g + 0.9 * state[0] : state[0]);
    });
    near(got, want);
  });

  const adam = (x: number, g: number, state: number[], step: number, b1: number, b2: number, lr: number) => {
    state[0] = b1 * state[0] + (1 - b1) * g;
    state[1] = b2 * state[1] + (1 - b2) * g * g;
    const m = state[0] / (1 - b1 ** step);
    const v = state[1] / (1 - b2 ** step);
    return x - (lr * m) / (Math.sqrt(v) + 1e-8);
  };

  test("Adam: weight decay is part of the gradient", async () => {
    const p = fresh();
    const got = await run(p, new Adam([p], { lr: 0.05, weightDecay: 0.1 }));
    near(
      got,
      walk((x, g, state, step) => adam(x, g + 0.1 * x, state, step, 0.9, 0.999, 0.05)),
    );
  });

  test("AdamW: weight decay is apart from it", async () => {
    const p = fresh();
    const got = await run(p, new AdamW([p], { lr: 0.05, betas: [0.8, 0.95], weightDecay: 0.1 }));
    near(
      got,
      walk((x, g, state, step) => adam(x * (1 - 0.05 * 0.1), g, state, step, 0.8, 0.95, 0.05)),
    );
  });

  test("Muon moves along a nearly orthogonal matrix", async () => {
    const g = fromData([3, 1, 0, 0, 2, 0, 0, 0, 0.5, 1, 1, 1], [4, 3]);
    const square = await matmul(transpose(orthogonalize(g)), orthogonalize(g)).toArray();
    (square as number[][]).forEach((row, i) => {
      row.forEach((value, j) => {
        if (i === j) expect(value).toBeGreaterThan(0.4);
        expect(Math.abs(value - (i === j ? 1 : 0))).toBeLessThan(0.6);
      });
    });
    // From rest and without Nesterov the buffer points along the gradient, so the step is that of the gradient itself.
    const p = new Parameter(ones([4, 3]));
    new Muon([p], { lr: 0.1, weightDecay: 0.5, nesterov: false }).step([g]);
    const direction = await orthogonalize(mul(g, 1 - 0.95)).data();
    near(
      [...(await p.data())],
      Array.from(direction, (d) => 0.95 - 0.1 * Math.sqrt(4 / 3) * d),
    );
    expect(() => new Muon([["b", fresh()]])).toThrow("Muon: needs matrices, got b of shape [4]");
  });
});

describe("step", () => {
  test("uses .grad, skips what has none or is frozen, and zeroGrad drops it", async () => {
    const [a, b, c] = [fresh(), fresh(), fresh()];
    sum(mul(a, 2)).backward();
    sum(mul(c, 2)).backward();
    c.requiresGrad = false;
    const optimizer = new SGD([a, b, c], { lr: 0.5 });
    optimizer.step();
    near(
      [...(await a.data())],
      p0.map((x) => x - 1),
    );
    near([...(await b.data())], p0);
    near([...(await c.data())], p0);
    optimizer.zeroGrad();
    expect(a.grad).toBeUndefined();
  });

  test("takes gradients by name, and refuses unknown names and wrong shapes", async () => {
    const layer = new Linear(2, 1);
    const optimizer = new SGD(layer.namedParameters(), { lr: 1 });
    const before = [...(await layer.bias!.data())];
    optimizer.step({ bias: ones([1]) });
    near([...(await layer.bias!.data())], [before[0] - 1]);
    expect(() => optimizer.step({ biass: ones([1]) })).toThrow(
      'SGD: step has no parameter "biass". Did you mean "bias"?',
    );
    expect(() => optimizer.step({ w: ones([1]) })).toThrow(
      "Names are those of the list that the optimizer was made of.",
    );
    expect(() => optimizer.step([1, 2] as any)).toThrow(
      "SGD: step needs a tensor as gradient of weight, got a number.",
    );
    expect(() => optimizer.step({ weight: ones([2, 1]) })).toThrow(ShapeError);
    expect(() => optimizer.step([ones([1])])).toThrow("needs 2 gradients in order, got 1");
  });

  test("a module that was moved since has other parameters: refused, not passed over", () => {
    const layer = new Linear(1, 1);
    const optimizer = new AdamW(layer.namedParameters());
    layer.to({ device: "cpu" });
    optimizer.zeroGrad();
    sum(layer.forward(ones([1, 1], { device: "cpu" }))).backward();
    expect(() => optimizer.step()).toThrow(
      "AdamW: step needs parameters that are alive, got weight, which was disposed. Make the optimizer after module.to()",
    );
    layer.dispose();
  });

  test("no name is special, neither to gradients nor to states", async () => {
    const parameters = (): [string, Parameter][] => [
      ["__proto__", fresh()],
      ["constructor", fresh()],
    ];
    const [optimizer, other] = [new AdamW(parameters()), new AdamW(parameters())];
    optimizer.step({ ["__proto__"]: tensor(gradient(1)) });
    const state = optimizer.stateDict();
    expect(Object.entries(state.steps)).toEqual([["__proto__", 1]]);
    other.loadStateDict({ ...JSON.parse(JSON.stringify(state)), tensors: state.tensors });
    expect(Object.entries(other.stateDict().steps)).toEqual([["__proto__", 1]]);
  });

  test("a rate that is no number, set since, reaches no weight", async () => {
    const p = new Parameter(ones([1]));
    p.grad = ones([1]);
    const optimizer = new AdamW([p], { lr: 0.1 });
    optimizer.lr = Number.NaN;
    expect(() => optimizer.step()).toThrow("AdamW: step: needs a number from 0 up for lr, got NaN.");
    expect(await p.item()).toBe(1);
  });

  test("a scale on the device multiplies the gradient", async () => {
    const [a, b] = [fresh(), fresh()];
    const g = tensor(gradient(1));
    new AdamW([a], { lr: 0.1 }).step([g], { scale: tensor([0.25]).reshape([]) });
    new AdamW([b], { lr: 0.1 }).step([mul(g, 0.25)]);
    expect([...(await a.data())]).toEqual([...(await b.data())]);
  });

  test("a scale of several numbers, or of none, is refused before anything changes", async () => {
    const p = fresh();
    const optimizer = new AdamW([["p", p]]);
    const step = (scale: unknown) => () => optimizer.step([tensor(gradient(1))], { scale: scale as any });
    expect(step(ones([3]))).toThrow("AdamW: step needs a tensor of one number as scale, got shape [3]. For example");
    expect(step(ones([4]))).toThrow("got shape [4]");
    for (const number of [0, 0.5]) expect(step(number)).toThrow("as scale, got a number.");
    expect(optimizer.stateDict().steps).toEqual({});
    expect([...(await p.data())]).toEqual(p0.map(Math.fround));
  });

  test("parameters of 16-bit floats are refused, with what would do", () => {
    const layer = new Linear(2, 1).to({ dtype: "bfloat16" });
    const optimizer = new SGD(layer.namedParameters());
    sum(layer.forward(ones([1, 2]))).backward();
    expect(() => optimizer.step()).toThrow(
      'SGD: step needs parameters of float32, got weight of bfloat16. Train in float32: module.to({ dtype: "float32" })',
    );
  });

  test("moments below 2^-126 become 0", () => {
    const p = fresh();
    const optimizer = new AdamW([["p", p]]);
    optimizer.step([tensor([1e-25, 1e-15, 0, 1])]);
    const { tensors } = optimizer.stateDict();
    const [avg, sq] = [tensors["p.expAvg"].view()!, tensors["p.expAvgSq"].view()!];
    expect(sq[0]).toBe(0);
    expect(sq[1]).toBeGreaterThan(0);
    expect(avg[0]).toBeGreaterThan(0);
  });

  test("leaves no memory behind", () => {
    const p = fresh();
    const optimizer = new Muon([new Parameter(ones([3, 3]))]);
    const grad = ones([3, 3]);
    optimizer.step([grad]);
    const before = p.backend.memory().live;
    for (let i = 0; i < 3; i++) optimizer.step([grad]);
    expect(p.backend.memory().live).toBe(before);
    optimizer.dispose();
    expect(p.backend.memory().live).toBe(before - 36);
  });

  test("each update is an op that observers can see", () => {
    const names = listOps().map(({ name }) => name);
    for (const name of ["sgdStep", "momentumStep", "nesterovStep", "adamStep", "adamwStep", "muonStep"]) {
      expect(names).toContain(name);
    }
  });
});

describe("options", () => {
  test("unknown names and bad values are refused", () => {
    expect(() => new AdamW([fresh()], { weigthDecay: 1 } as object)).toThrow('Did you mean "weightDecay"?');
    expect(() => new AdamW([fresh()], { lr: -1 })).toThrow(ConfigError);
    expect(() => new SGD([])).toThrow("needs at least one parameter");
    const p = fresh();
    expect(() => new SGD([p, p])).toThrow("given twice");
    expect(() => new SGD([p], { nesterov: "false" as any })).toThrow("needs true or false for nesterov");
    expect(() => new SGD([p], { nesterov: true })).toThrow(
      "SGD: needs momentum above 0 and dampening 0 for nesterov, got 0 and 0.",
    );
    expect(() => new SGD([{ params: [p], dampening: 0.1 }], { momentum: 0.9, nesterov: true })).toThrow(
      "got 0.9 and 0.1",
    );
    const matrix = new Parameter(ones([1, 1]));
    expect(() => new Muon([matrix], { adjustLr: "orginal" as any })).toThrow(
      'Muon: needs "original" or "matchRmsAdamw" for adjustLr, got "orginal".',
    );
    expect(() => new Muon([matrix], { nsSteps: 2.5 })).toThrow(
      "Muon: needs a whole number from 0 up for nsSteps, got 2.5.",
    );
    expect(() => orthogonalize(matrix, { nsSteps: 2 } as object)).toThrow(
      'orthogonalize: has no option "nsSteps". Did you mean "steps"?',
    );
  });

  test("two parameters of one name are refused: states are saved by name", () => {
    const [a, b] = [new Linear(1, 1), new Linear(1, 1)];
    expect(() => new SGD([...a.namedParameters(), ...b.namedParameters()])).toThrow("got weight twice");
    expect(() => new SGD([...a.parameters(), ...b.parameters()])).not.toThrow();
  });

  test("groups have their own", async () => {
    const layer = new Linear(1, 1);
    layer.loadStateDict({ weight: fromData([1], [1, 1]), bias: tensor([1]) });
    const optimizer = new AdamW(decayGroups(layer.namedParameters(), 0.5), { lr: 0.1 });
    optimizer.step({ weight: fromData([0], [1, 1]), bias: tensor([0]) });
    near([...(await layer.weight.data()), ...(await layer.bias!.data())], [0.95, 1]);
    optimizer.lr = 0.2;
    expect(optimizer.groups.map(({ options }) => options.lr)).toEqual([0.2, 0.2]);
  });
});

describe("state", () => {
  const makers: [string, (p: Parameter) => Optimizer<{ lr: number }>][] = [
    ["SGD", (p) => new SGD([["p", p]], { momentum: 0.9 })],
    ["Adam", (p) => new Adam([["p", p]])],
    ["AdamW", (p) => new AdamW([["p", p]])],
  ];
  test.each(makers)("%s goes on with the same bits", async (_, make) => {
    const [a, b] = [fresh(), fresh()];
    const first = make(a);
    await run(a, first, 3);
    const state = first.stateDict();
    const numbers = JSON.parse(JSON.stringify({ ...state, tensors: undefined }));
    const tensors = Object.fromEntries(
      await Promise.all(
        Object.entries(state.tensors).map(async ([name, value]) => [
          name,
          { dtype: "float32", shape: value.shape, data: (await value.data()) as Float32Array },
        ]),
      ),
    );
    b.view()!.set(a.view()!);
    const second = make(b);
    second.lr = 7;
    second.loadStateDict({ ...numbers, tensors });
    expect(second.lr).toBe(first.lr);
    expect(await run(b, second, 4)).toEqual(await run(a, first, 4));
  });

  test("another type, other parameters or a lost moment are refused", () => {
    const named = (name: string) => new AdamW([[name, fresh()]]);
    const optimizer = named("p");
    optimizer.step([tensor(gradient(1))]);
    const state = optimizer.stateDict();
    expect(() => new Adam([["p", fresh()]]).loadStateDict(state)).toThrow('needs the state of Adam, got "AdamW"');
    expect(() => named("q").loadStateDict(state)).toThrow("missing q and unexpected p");
    const { "p.expAvg": _, ...tensors } = state.tensors;
    expect(() => named("p").loadStateDict({ ...state, tensors })).toThrow("missing p.expAvg");
  });

  test("is loaded whole or not at all, and into the same groups", async () => {
    const make = () =>
      new AdamW([
        ["a", fresh()],
        ["b", fresh()],
      ]);
    const [optimizer, other] = [make(), make()];
    optimizer.step([tensor(gradient(1)), tensor(gradient(2))]);
    other.step([tensor(gradient(3)), tensor(gradient(4))]);
    other.lr = 7;
    const state = other.stateDict();
    const before = await optimizer.stateDict().tensors["a.expAvg"].toArray();
    const tensors = { ...state.tensors, "b.expAvgSq": ones([2]) };
    expect(() => optimizer.loadStateDict({ ...state, tensors })).toThrow("b.expAvgSq: needs shape [4], got [2].");
    expect(optimizer.lr).toBe(1e-3);
    expect(await optimizer.stateDict().tensors["a.expAvg"].toArray()).toEqual(before);
    const pair = ([a, b]: string[]) => new SGD([{ params: [[a, fresh()]] }, { params: [[b, fresh()]], lr: 2 }]);
    expect(() => pair(["a", "b"]).loadStateDict(pair(["b", "a"]).stateDict())).toThrow(
      "SGD: loadStateDict: needs the same parameters in group 0, got b.",
    );
  });

  test.each<[string, (state: any) => unknown, string]>([
    ["no groups", () => ({ type: "AdamW" }), "needs groups, each with a list of names, got undefined."],
    [
      "a group that is none",
      (s) => ({ ...s, groups: [null] }),
      "needs groups, each with a list of names, got undefined.",
    ],
    [
      "options of another kind",
      (s) => withOptions(s, 3),
      "needs options of each group, steps and tensors by name, got 3.",
    ],
    ["lr as text", (s) => withOptions(s, { lr: "abc" }), "needs a number from 0 up for lr"],
    ["an unknown option", (s) => withOptions(s, { foo: 1 }), 'has no option "foo".'],
    ["betas that are none", (s) => withOptions(s, { betas: 3 }), "needs two numbers from 0 up to but without 1"],
    ["steps as text", (s) => ({ ...s, steps: { p: "x" } }), 'needs a whole number of steps for p, got "x".'],
    ["half a step", (s) => ({ ...s, steps: { p: 0.5 } }), "needs a whole number of steps for p, got 0.5."],
    [
      "steps of another",
      (s) => ({ ...s, steps: { ...s.steps, q: 1 } }),
      "needs exactly the keys of its own state, got unexpected q. Did you mean p for q? It belongs to the",
    ],
    [
      "steps that are none",
      (s) => ({ ...s, steps: 3 }),
      "needs options of each group, steps and tensors by name, got 3.",
    ],
    [
      "tensors that are none",
      (s) => ({ ...s, tensors: undefined }),
      "needs options of each group, steps and tensors by name, got undefined.",
    ],
  ])("what a file may say is checked before anything is written: %s", async (_, change, message) => {
    const optimizer = new AdamW([["p", fresh()]]);
    optimizer.step([tensor(gradient(1))]);
    const before = optimizer.stateDict();
    const bytes = await before.tensors["p.expAvg"].toArray();
    const load = () => optimizer.loadStateDict(change(optimizer.stateDict()) as any);
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(`AdamW: loadStateDict: ${message}`);
    expect(optimizer.stateDict()).toEqual(before);
    expect(await before.tensors["p.expAvg"].toArray()).toEqual(bytes);
  });

  test("Muon's own options in a file are checked too", () => {
    const optimizer = new Muon([["p", new Parameter(ones([2, 2]))]]);
    const state = optimizer.stateDict();
    expect(() => optimizer.loadStateDict(withOptions(state, { adjustLr: "none" }) as any)).toThrow("for adjustLr");
    expect(() => optimizer.loadStateDict(withOptions(state, { nsSteps: -1 }) as any)).toThrow("for nsSteps");
  });

  test("plain SGD remembers steps alone; momentum that comes later starts then", async () => {
    const [p, reference] = [fresh(), fresh()];
    const { live } = memory();
    const optimizer = new SGD([["p", p]], { lr: 0.1 });
    const g = tensor(gradient(1));
    optimizer.step([g]);
    expect(memory().live - live).toBe(g.storage.bytes);
    expect(optimizer.stateDict()).toMatchObject({ steps: { p: 1 }, tensors: {} });
    optimizer.groups[0].options.momentum = 0.9;
    await run(p, optimizer, 1);
    expect(Object.keys(optimizer.stateDict().tensors)).toEqual(["p.momentumBuffer"]);
    await run(reference, new SGD([reference], { lr: 0.1 }), 1);
    await run(reference, new SGD([reference], { lr: 0.1 }), 1);
    expect(await p.toArray()).toEqual(await reference.toArray());
    const other = new SGD([["p", fresh()]]);
    other.loadStateDict(optimizer.stateDict());
    expect(Object.keys(other.stateDict().tensors)).toEqual(["p.momentumBuffer"]);
    for (const each of [optimizer, other]) each.dispose();
  });

  test("a step that is refused counts for nothing", () => {
    const optimizer = new AdamW([["p", fresh()]]);
    expect(() => optimizer.step([tensor(p0, { device: "cpu" })])).toThrow("needs all inputs on one device");
    expect(optimizer.stateDict().steps).toEqual({ p: 0 });
  });

  test("a step whose moments find no memory counts for no parameter, and leaves no moment of one alone", async () => {
    const [a, b] = [fresh(), fresh()];
    const optimizer = new AdamW([
      ["a", a],
      ["b", b],
    ]);
    const grads = [tensor(gradient(1)), tensor(gradient(2))];
    const { live } = memory();
    const both = 2 * 4 * p0.length;
    await start({ memoryBudget: live + 1.5 * both });
    try {
      expect(() => optimizer.step(grads)).toThrow(MemoryBudgetError);
    } finally {
      await start({ memoryBudget: undefined });
    }
    expect(memory().live).toBe(live + both);
    expect(optimizer.stateDict().steps).toEqual({ a: 0 });
    optimizer.step(grads);
    expect(optimizer.stateDict().steps).toEqual({ a: 1, b: 1 });
  });

  test("says whose it is where a minifier renamed the classes", async () => {
    const input = fileURLToPath(new URL("../../src/optim/index.ts", import.meta.url));
    const build = await rolldown({ input, platform: "browser", logLevel: "silent" });
    const { output } = await build.generate({ format: "esm", minify: true, codeSplitting: false });
    await build.close();
    const page = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(output[0].code)}`);
    const names = ["Adam", "AdamW", "Muon", "SGD"];
    expect(names.map((name) => page[name].name)).toEqual(names);
  });
});
