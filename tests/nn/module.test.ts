import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { init, memory } from "../../src/backend/devices.js";
import {
  ConfigError,
  DisposedError,
  DTypeError,
  IndexError,
  MemoryBudgetError,
  ShapeError,
} from "../../src/core/errors.js";
import { Embedding, Identity, LayerNorm, Linear, Module, ModuleList, Sequential } from "../../src/nn/index.js";
import { add, sum } from "../../src/ops/index.js";
import { fromData, ones, tensor } from "../../src/tensor/create.js";
import { intercept } from "../../src/tensor/dispatch.js";
import { Parameter, type Tensor } from "../../src/tensor/tensor.js";
import "../../src/tensor/autograd.js";
import "../../src/tensor/transfer.js";

beforeAll(() => init({ device: "reference" }));
afterAll(() => init({ device: "auto" }));

class Block extends Module {
  norm = new LayerNorm(4);
  mlp: Module = new Linear(4, 4);
  forward(x: Tensor): Tensor {
    return add(x, this.mlp.forward(this.norm.forward(x)));
  }
}

class Model extends Module {
  wte = new Embedding(5, 4);
  layers = new ModuleList([new Block(), new Block()]);
  extra = [new Linear(4, 4, { bias: false })];
  head = new Linear(4, 5, { bias: false });
  constructor() {
    super();
    this.head.weight = this.wte.weight;
  }
  forward(ids: Tensor): Tensor {
    let x = this.wte.forward(ids);
    for (const layer of this.layers) x = layer.forward(x);
    return this.head.forward(this.extra[0].forward(x));
  }
}

const names = [
  "wte.weight",
  "layers.0.norm.weight",
  "layers.0.norm.bias",
  "layers.0.mlp.weight",
  "layers.0.mlp.bias",
  "layers.1.norm.weight",
  "layers.1.norm.bias",
  "layers.1.mlp.weight",
  "layers.1.mlp.bias",
  "extra.0.weight",
];

describe("names", () => {
  test("parameters come once, in order of assignment, tied ones under their first name", () => {
    const model = new Model();
    expect([...model.namedParameters()].map(([name]) => name)).toEqual(names);
    expect([...model.parameters()].length).toBe(names.length);
    expect(Object.keys(model.stateDict())).toEqual(names);
    expect([...model.namedModules()].map(([name]) => name).slice(0, 4)).toEqual(["", "wte", "layers", "layers.0"]);
  });

  test("modules and parameters are found in arrays and plain objects, however deep, and in no others", async () => {
    class Nested extends Module {
      heads: Record<string, Module[][]> = { left: [[new Linear(2, 2)], [new Linear(2, 2, { bias: false })]] };
      scales = { a: new Parameter(ones([2])), b: [new Parameter(ones([1]))] };
      bare = Object.assign(Object.create(null), { left: new Linear(2, 2, { bias: false }) }); // as of Object.groupBy
      settings: Record<string, unknown> = { rate: 1, deep: { list: [1, "two", null] } };
      cache = new Map([["unseen", new Linear(2, 2)]]);
      forward(x: Tensor): Tensor {
        return this.heads["left"][0][0].forward(x).mul(this.scales.a);
      }
    }
    const model = new Nested();
    model.settings["self"] = model.settings; // a circle is walked once
    const heads = ["heads.left.0.0.weight", "heads.left.0.0.bias", "heads.left.1.0.weight"];
    const names = ["bare.left.weight", ...heads, "scales.a", "scales.b.0"];
    expect(Object.keys(model.stateDict()).sort()).toEqual([...names].sort());
    expect([...model.parameters()]).toHaveLength(6);
    expect(() => model.forward(ones([2, 3]))).toThrow(/\(in heads\.left\.0\.0\)/);
    const other = new Identity();
    model.setSubmodule("heads.left.0.0", other);
    expect(model.heads["left"][0][0]).toBe(other);
    model.to({ dtype: "float16" });
    expect(model.scales.b[0].dtype).toBe("float16");
    for (const module of [model, ...model.cache.values()]) module.dispose();
  });

  test("errors say in which module they arose", () => {
    const model = new Model();
    expect(() => model.forward(tensor(new Int32Array([1, 9])))).toThrow(IndexError);
    expect(() => model.forward(tensor(new Int32Array([1, 9])))).toThrow("(in wte)");
    model.layers.at(1)!.mlp = new Linear(3, 4);
    expect(() => model.forward(tensor(new Int32Array([1])))).toThrow("(in layers.1.mlp)");
    expect(() => new Linear(3, 4).forward(ones([2, 2]))).toThrow(ShapeError);
    const wrong = new Sequential(new Identity(), new Linear(3, 2));
    expect(() => wrong.forward(ones([2, 2]))).toThrow("(in 1)");
  });

  test("observers see the path, and afterwards none", () => {
    const seen = new Set<string>();
    const remove = intercept((call, next) => {
      seen.add(`${call.modulePath}:${call.op.name}`);
      return next();
    });
    new Model().forward(tensor(new Int32Array([1])));
    add(ones([1]), 1);
    remove();
    expect([...seen]).toEqual([
      "wte:embedding",
      "layers.0.norm:layerNorm",
      "layers.0.mlp:linear",
      "layers.0:add",
      "layers.1.norm:layerNorm",
      "layers.1.mlp:linear",
      "layers.1:add",
      "extra.0:linear",
      "head:linear",
      ":add",
    ]);
  });

  test("a module that was put elsewhere is known by its new path", () => {
    class Pair extends Module {
      first: Module = new Linear(2, 2);
      second: Module = new Linear(2, 3);
      forward(x: Tensor): Tensor {
        return this.second.forward(this.first.forward(x));
      }
    }
    const pair = new Pair();
    const paths = () => {
      const seen: string[] = [];
      const remove = intercept((call, next) => {
        seen.push(call.modulePath);
        return next();
      });
      try {
        pair.forward(ones([1, 2]));
      } finally {
        remove();
      }
      return seen;
    };
    expect(paths()).toEqual(["first", "second"]);
    [pair.first, pair.second] = [new Linear(2, 2), pair.first];
    expect(paths()).toEqual(["first", "second"]);
    pair.first = new Sequential(new Identity(), pair.second);
    pair.second = new Linear(3, 2);
    expect(() => pair.forward(ones([1, 2]))).toThrow("(in second)");
    pair.second = new Identity();
    expect(paths()).toEqual(["first.1"]);
  });

  test("a module can be found and replaced by its path", () => {
    const model = new Model();
    expect(model.getSubmodule("layers.1.mlp")).toBe(model.layers.at(1)!.mlp);
    expect(() => model.getSubmodule("layers.1.mpl")).toThrow('Did you mean "layers.1.mlp"?');
    const [block, extra, mlp] = [new Block(), new Linear(4, 4), new Identity()];
    model.setSubmodule("layers.0", block);
    model.setSubmodule("layers.0.mlp", mlp);
    model.setSubmodule("extra.0", extra);
    expect(model.layers.at(0)).toBe(block);
    expect(block.mlp).toBe(mlp);
    expect(model.extra[0]).toBe(extra);
    expect(model.forward(tensor(new Int32Array([1]))).shape).toEqual([1, 5]);
  });

  test("a shared module has each of its names; what is no module, or nowhere, is refused", () => {
    class Shared extends Identity {
      first: Module = new Sequential(new Linear(2, 2));
      second = this.first;
    }
    const model = new Shared();
    const [linear, other] = [model.getSubmodule("second.0"), new Identity()];
    expect(linear).toBe(model.getSubmodule("first.0"));
    model.setSubmodule("second", other);
    expect([model.second, model.first]).toEqual([other, model.getSubmodule("first")]);
    expect(() => model.setSubmodule("secnd", other)).toThrow(
      'setSubmodule: there is no module "secnd". Did you mean "second"?',
    );
    expect(() => model.setSubmodule("", other)).toThrow('setSubmodule: there is no module "".');
    expect(() => model.setSubmodule("first", (() => other) as any)).toThrow(
      "setSubmodule: needs a module for first, got a function.",
    );
    expect(model.getSubmodule("first.0")).toBe(linear);
  });

  test("what a class derived from Sequential or ModuleList holds besides is found", async () => {
    class Scaled extends Sequential {
      scale = new Parameter(tensor([2]));
      constructor() {
        super(new Linear(1, 1, { bias: false }), new Identity());
        this.registerBuffer("mean", tensor([3]));
      }
      override forward(x: Tensor): Tensor {
        return super.forward(x).mul(this.scale);
      }
    }
    class Listed extends ModuleList {
      last = new Linear(1, 1, { bias: false });
    }
    const model = new Scaled();
    expect(Object.keys(model.stateDict())).toEqual(["scale", "mean", "0.weight"]);
    expect([...model.namedModules()].map(([name]) => name)).toEqual(["", "0", "1"]);
    model.loadStateDict({ "0.weight": ones([1, 1]), scale: tensor([5]), mean: tensor([0]) });
    expect(await model.forward(tensor([[3]])).toArray()).toEqual([[15]]);
    expect(Object.keys(new Listed([new Identity()]).append(new Linear(1, 1)).stateDict())).toEqual([
      "1.weight",
      "1.bias",
      "last.weight",
    ]);
  });

  test("a module may know the one that it is a part of", () => {
    class Part extends Identity {
      whole?: Module;
    }
    const part = new Part();
    const whole = new Sequential(part, part);
    part.whole = whole;
    const seen: Module[] = [];
    whole.apply((module) => seen.push(module));
    expect(seen).toEqual([part, whole]);
    const shown = "Part(\n    (whole): …\n  )";
    expect(String(whole)).toBe(`Sequential(\n  (0): ${shown}\n  (1): ${shown}\n)`);
  });

  test("printing shows the tree", () => {
    expect(String(new Sequential(new Linear(2, 3), new Identity()))).toBe(
      "Sequential(\n  (0): Linear(2, 3)\n  (1): Identity()\n)",
    );
  });

  test("a list has no forward", () => {
    expect(() => new ModuleList().forward()).toThrow("or use Sequential");
  });
});

describe("state", () => {
  test("goes from one model to another, converting dtype", async () => {
    const [a, b] = [new Model(), new Model()];
    b.loadStateDict(a.stateDict());
    const ids = tensor(new Int32Array([0, 3]));
    expect(await b.forward(ids).toArray()).toEqual(await a.forward(ids).toArray());
    const linear = new Linear(2, 1, { bias: false });
    linear.loadStateDict({ weight: { dtype: "bfloat16", shape: [1, 2], data: new Uint16Array([0x3f80, 0xc000]) } });
    expect(await linear.weight.toArray()).toEqual([[1, -2]]);
  });

  test("a tied parameter may come under either name", async () => {
    const model = new Model();
    const { "wte.weight": weight, ...rest } = model.stateDict();
    const report = model.loadStateDict({ ...rest, "head.weight": ones(weight.shape) });
    expect(report).toEqual({ missing: [], unexpected: [] });
    expect((await model.wte.weight.data())[0]).toBe(1);
  });

  test("missing and unknown names are refused, with the nearest, unless not strict", async () => {
    const linear = new Linear(1, 1);
    const weight = fromData([7], [1, 1]);
    expect(() => linear.loadStateDict({ weigth: weight, bias: ones([1]) })).toThrow(ConfigError);
    expect(() => linear.loadStateDict({ weigth: weight, bias: ones([1]) })).toThrow(
      "missing weight and unexpected weigth. Did you mean weight for weigth?",
    );
    expect(linear.loadStateDict({ weight, other: weight }, { strict: false })).toEqual({
      missing: ["bias"],
      unexpected: ["other"],
    });
    expect(await linear.weight.item()).toBe(7);
  });

  test("a wrong shape is refused before anything is written", async () => {
    const linear = new Linear(1, 1);
    const before = await linear.weight.item();
    expect(() => linear.loadStateDict({ weight: fromData([before + 1], [1, 1]), bias: ones([2]) })).toThrow(
      "loadStateDict: bias: needs shape [1], got [2].",
    );
    const data = new Float32Array(2);
    for (const bias of [{ dtype: "float32", shape: [1], data } as const, { dtype: "float64" as any, shape: [1], data }])
      expect(() => linear.loadStateDict({ weight: fromData([before + 1], [1, 1]), bias })).toThrow(
        /needs 1 val|float64/,
      );
    expect(await linear.weight.item()).toBe(before);
  });

  test.each<[string, unknown, string]>([
    ["float32", new Float64Array([7, 8]), "needs a Float32Array for float32, got a Float64Array"],
    ["float32", new Int32Array([7, 8]), "needs a Float32Array for float32, got an Int32Array"],
    ["float32", [7, 8], "needs a Float32Array for float32, got an array"],
    ["float32", undefined, "needs a Float32Array for float32, got undefined"],
    ["float16", new Float32Array([7, 8]), "needs a Uint16Array for float16, got a Float32Array"],
    ["uint8", [7, 8], "needs a Uint8Array for uint8, got an array"],
  ])("%s values in another kind of array are refused: %o", async (dtype, data, message) => {
    const linear = new Linear(2, 1, { bias: false });
    const before = await linear.weight.toArray();
    const load = () => linear.loadStateDict({ weight: { dtype, shape: [1, 2], data } as any });
    expect(load).toThrow(DTypeError);
    expect(load).toThrow(`loadStateDict: weight: ${message}`);
    expect(await linear.weight.toArray()).toEqual(before);
  });

  test("what was converted on the way is freed", () => {
    const linear = new Linear(10, 10, { bias: false });
    const values = ones([10, 10], { dtype: "int32" });
    const before = memory().live;
    linear.loadStateDict({ weight: values });
    values.dispose();
    expect(memory().live).toBeLessThan(before);
    const wide = memory().live;
    linear.to({ dtype: "float16" });
    expect(memory().live).toBeLessThan(wide);
    linear.dispose();
  });

  test("buffers are saved and not trained", () => {
    const model = new Identity();
    model.registerBuffer("count", ones([2]));
    expect(Object.keys(model.stateDict())).toEqual(["count"]);
    expect([...model.parameters()]).toEqual([]);
  });
});

test("what is no tensor, and dtypes without gradients, are refused before anything changes", async () => {
  class Bare extends Identity {}
  expect(() => new Bare().registerBuffer("mean", [1] as any)).toThrow(
    "registerBuffer: needs a tensor for mean, got an array.",
  );
  expect(() => new Parameter([1, 2] as any)).toThrow(
    "Parameter: needs a tensor, got an array. Make one with tensor(data).",
  );
  const ids = tensor([1], { dtype: "int32" });
  expect(() => new Parameter(ids)).toThrow("requiresGrad: needs a float dtype, got int32.");
  expect(await ids.toArray()).toEqual([1]);
  const frozen = new Linear(1, 1).requiresGrad_(false);
  expect(() => frozen.to({ dtype: "int32" })).toThrow("to: needs a float dtype for a module, got int32.");
  expect(() => frozen.to({ dtype: "float" as any })).toThrow(DTypeError);
  expect(frozen.weight.dtype).toBe("float32");
});

describe("modes", () => {
  test("train and eval reach every module", () => {
    const model = new Model().eval();
    expect([...model.modules()].some((module) => module.training)).toBe(false);
    model.train();
    expect([...model.modules()].every((module) => module.training)).toBe(true);
  });

  test("frozen parameters get no gradient; zeroGrad drops the others", () => {
    const model = new Sequential(new Linear(2, 2), new Linear(2, 1));
    const [first, second] = [model.at(0) as Linear, model.at(1) as Linear];
    first.requiresGrad_(false);
    sum(model.forward(ones([1, 2]))).backward();
    expect(first.weight.grad).toBeUndefined();
    expect(second.weight.grad?.shape).toEqual([1, 2]);
    model.zeroGrad();
    expect(second.weight.grad).toBeUndefined();
  });

  test("to() makes new parameters and keeps ties", () => {
    const model = new Model();
    const before = model.wte.weight;
    model.to({ dtype: "bfloat16" });
    expect(model.wte.weight.dtype).toBe("bfloat16");
    expect(model.head.weight).toBe(model.wte.weight);
    expect(model.wte.weight).toBeInstanceOf(Parameter);
    expect(before.disposed).toBe(true);
  });

  test("to() for which there is no memory leaves the model as it was", async () => {
    const model = new Model();
    const before = Object.entries(model.stateDict());
    const { live } = memory();
    // Room for the first parameter, not for all.
    await init({ memoryBudget: live + 2 * model.wte.weight.size + 2 });
    try {
      expect(() => model.to({ dtype: "bfloat16" })).toThrow(MemoryBudgetError);
    } finally {
      await init({ memoryBudget: undefined });
    }
    expect(Object.entries(model.stateDict())).toEqual(before);
    expect(memory().live).toBe(live);
    expect(() => model.to({ dtype: "bfloat16" })).not.toThrow();
    model.dispose();
  });

  test("to() leaves buffers that are no floats in their dtype", async () => {
    const model = new Identity();
    model.registerBuffer("positions", tensor([70_001], { dtype: "int32" }));
    model.registerBuffer("scale", ones([1]));
    model.to({ dtype: "float16" });
    const { positions, scale } = model.stateDict();
    expect([positions.dtype, scale.dtype, await positions.item()]).toEqual(["int32", "float16", 70_001]);
    model.dispose();
  });

  test("dispose gives everything back", () => {
    const model = new Model();
    const { backend } = model.wte.weight;
    const count = [...model.parameters()].length;
    const before = backend.memory().live;
    model.dispose();
    expect(count).toBe(names.length);
    expect(before - backend.memory().live).toBeGreaterThanOrEqual(4 * 92);
    expect(() => model.forward(tensor(new Int32Array([1])))).toThrow(DisposedError);
  });
});
