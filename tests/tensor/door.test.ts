/** Ops from outside, the registry, and what passes the one door. */
import * as t from "tenon";
import { Linear, Module } from "tenon/nn";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testDevices } from "../setup/devices.js";

const { expr } = t;
const leaf = (data: t.NestedData, device?: t.DeviceName) => t.tensor(data, { requiresGrad: true, device });

const softsign = t.defineOp({
  name: "test.softsign",
  doc: "x / (1 + |x|)",
  inputs: ["x"],
  promotion: "float",
  expr: ([x]) => expr.div(x, expr.add(1, expr.abs(x))),
  derivative: ([x]) => {
    const d = expr.add(1, expr.abs(x));
    return [expr.div(1, expr.mul(d, d))];
  },
});

const scaled = t.defineOp<{ factor: number; shift?: number }>({
  name: "test.scaled",
  doc: "x * factor + shift",
  inputs: ["x"],
  attrs: { factor: { type: "number" }, shift: { type: "number", default: 0 } },
  promotion: "float",
  expr: ([x], { factor, shift }) => expr.add(expr.mul(x, factor), shift),
  derivative: (_, { factor }) => [factor],
});

const meanSquare = t.defineOp({
  name: "test.meanSquare",
  doc: "the mean of x^2",
  inputs: ["x"],
  composition: ([x]) => x.mul(x).mean(),
});

const total = t.defineOp({
  name: "test.total",
  doc: "the sum of all elements",
  inputs: [{ name: "x", kind: "float" }],
  infer: ([x]) => [{ shape: [], dtype: x.dtype }],
  backward: ({ grad, shapes }) => [grad.expand(shapes[0])],
});
for (const device of ["reference", "cpu"])
  t.registerKernel("test.total", device, ([x], [out], _, kernels) =>
    kernels.reduce("sum", x, out, { outer: 1, size: x.size, inner: 1 }),
  );

/** A kernel that is quicker than the composition, which alone knows the gradient. */
const energy = t.defineOp({
  name: "test.energy",
  doc: "the sum of a * b^2",
  inputs: ["a", "b"],
  infer: () => [{ shape: [], dtype: "float32" }],
  composition: ([a, b]) => a.mul(b.square()).sum(),
});
t.registerKernel("test.energy", "reference", (inputs, [out], _, kernels) => {
  energyKernelRuns++;
  kernels.fill(out, inputs.length * 100);
});
let energyKernelRuns = 0;

describe.each(testDevices)("ops of one's own on $name", ({ device, open }) => {
  beforeAll(open);

  test("a row: value and gradient, with attributes and promotion", async () => {
    const x = leaf([-3, 1], device);
    const y = softsign(x) as t.Tensor;
    expect(await y.toArray()).toEqual([-0.75, 0.5]);
    y.sum().backward();
    expect(await x.grad!.toArray()).toEqual([0.0625, 0.25]);
    const z = leaf([1, 2], device);
    const line = scaled(z, { factor: 3, shift: 1 }) as t.Tensor;
    expect(await line.toArray()).toEqual([4, 7]);
    line.sum().backward();
    expect(await z.grad!.toArray()).toEqual([3, 3]);
    expect((softsign(t.arange(3, undefined, 1, { device })) as t.Tensor).dtype).toBe("float32");
  });

  test("a composition, whose gradients come along", async () => {
    const x = leaf([1, 3], device);
    const y = meanSquare(x) as t.Tensor;
    expect(await y.item()).toBe(5);
    y.backward();
    expect(await x.grad!.toArray()).toEqual([1, 3]);
  });

  test("a kernel with a gradient", async () => {
    const x = leaf(
      [
        [1, 2],
        [3, 4],
      ],
      device,
    );
    const y = total(x) as t.Tensor;
    expect(await y.item()).toBe(10);
    y.mul(2).backward();
    expect(await x.grad!.toArray()).toEqual([
      [2, 2],
      [2, 2],
    ]);
  });
});

test("a row whose attribute may be absent, or is an object, has a program for each", async () => {
  const optional = t.defineOp({
    name: "test.optional",
    doc: "x, or x + more",
    inputs: ["x"],
    attrs: { more: { type: "number", optional: true } },
    expr: ([x], { more }) => (more === undefined ? x : expr.add(x, more)),
  });
  const chosen = t.defineOp({
    name: "test.chosen",
    doc: "x * how.factor",
    inputs: ["x"],
    attrs: { how: { type: "object" } },
    expr: ([x], { how }) => expr.mul(x, how.factor),
  });
  const x = t.tensor([1]);
  const results = [
    optional(x),
    optional(x, { more: 5 }),
    optional(x),
    chosen(x, { how: { factor: 2 } }),
    chosen(x, { how: { factor: 3 } }),
  ];
  expect(await Promise.all(results.map((y) => y.item()))).toEqual([1, 6, 1, 2, 3]);
});

test("a row of one's own is the same program, and so the same kernel, as a built-in one", () => {
  const silu = t.defineOp({
    name: "test.silu",
    doc: "x * sigmoid(x)",
    inputs: ["x"],
    promotion: "float",
    expr: ([x]) => expr.mul(x, expr.sigmoid(x)),
    derivative: ([x]) => {
      const s = expr.sigmoid(x);
      return [expr.mul(s, expr.add(1, expr.mul(x, expr.sub(1, s))))];
    },
  });
  /** Programs that a call and its gradient run. */
  const programs = (call: (x: t.Tensor) => t.Tensor): string[] => {
    const x = leaf([1, 2], "cpu");
    const { kernels } = x.backend;
    const { elementwise } = kernels;
    const keys: string[] = [];
    kernels.elementwise = (program, ...rest) => {
      keys.push(program.key);
      elementwise(program, ...rest);
    };
    try {
      t.tidy(() => call(x).backward({ gradient: t.ones([2], { device: "cpu" }) }));
    } finally {
      kernels.elementwise = elementwise;
    }
    x.grad!.dispose();
    x.dispose();
    return keys;
  };
  const built = programs(t.silu);
  expect(built.length).toBe(2);
  expect(programs((x) => silu(x) as t.Tensor)).toEqual(built);
});

test("a kernel beside a composition computes; the composition gives the gradient", async () => {
  const a = leaf([1, 2], "reference");
  const b = leaf([3, 4], "reference");
  const y = energy(a, b) as t.Tensor;
  expect([await y.item(), energyKernelRuns]).toEqual([200, 1]);
  y.backward();
  expect(await a.grad!.toArray()).toEqual([9, 16]);
  expect(await b.grad!.toArray()).toEqual([6, 16]);
  expect(energyKernelRuns).toBe(1);
  const there = energy(a.to({ device: "cpu" }), b.to({ device: "cpu" })) as t.Tensor;
  expect(await there.item()).toBe(41);
});

describe("the registry", () => {
  test("lists name, version, signature, devices and differentiability", () => {
    const list = t.listOps();
    const find = (name: string) => list.find((op) => op.name === name)!;
    expect(find("test.scaled")).toEqual({
      name: "test.scaled",
      version: 1,
      doc: "x * factor + shift",
      signature: "(x: number, { factor, shift = 0 })",
      devices: ["reference", "cpu", "webgpu"],
      differentiable: true,
    });
    expect(find("test.total").devices).toEqual(["reference", "cpu"]);
    expect(find("linear").signature).toBe("(x: float, weight: float, bias?: float, { inOut = false })");
    expect(find("eq").differentiable).toBe(false);
    for (const op of list) expect([op.name, op.doc !== "", op.version >= 1]).toEqual([op.name, true, true]);
  });

  test.each<[string, () => unknown, string | RegExp]>([
    ["an unknown name", () => t.getOp("sofmax"), 'getOp: there is no op "sofmax". Did you mean "softmax"?'],
    [
      "a name like no other",
      () => t.getOp("quaternion"),
      'getOp: there is no op "quaternion". listOps() names them all.',
    ],
    [
      "a name that is taken",
      () => t.defineOp({ name: "gelu", doc: "", inputs: ["x"], expr: ([x]) => x }),
      'defineOp: the name "gelu" is taken. Choose another name, or pass override: true to replace it.',
    ],
    [
      "no name",
      () => t.defineOp({ name: "", doc: "", inputs: ["x"], expr: ([x]) => x }),
      'defineOp: needs a name, got "".',
    ],
    [
      "no inputs",
      () => t.defineOp({ name: "test.none", doc: "", inputs: [], expr: ([x]) => x }),
      'defineOp: "test.none" needs at least one input.',
    ],
    [
      "no meaning",
      () => t.defineOp({ name: "test.none", doc: "", inputs: ["x"] }),
      'defineOp: "test.none" needs expr, infer with run or a kernel, or composition.',
    ],
    [
      "run without infer",
      () => t.defineOp({ name: "test.none", doc: "", inputs: ["x"], run: () => undefined }),
      /needs expr, infer/,
    ],
    [
      "a kernel for no op",
      () => t.registerKernel("test.totl", "cpu", () => undefined),
      'getOp: there is no op "test.totl". Did you mean "test.total"?',
    ],
    [
      "a kernel for no device",
      () => t.registerKernel("test.total", "gpu", () => undefined),
      'registerKernel: unknown device "gpu". Devices are reference, cpu and webgpu.',
    ],
    [
      "a second kernel",
      () => t.registerKernel("test.total", "cpu", () => undefined),
      "registerKernel: test.total has a kernel for cpu. Pass { override: true } to replace it.",
    ],
    [
      "a kernel for a row",
      () => t.registerKernel("gelu", "cpu", () => undefined),
      /registerKernel: gelu has a kernel for cpu/,
    ],
    [
      "a kernel that would not know its shapes",
      () => t.registerKernel("test.meanSquare", "cpu", () => undefined),
      "registerKernel: test.meanSquare has no infer, so its kernel would not know what to fill. Give infer to defineOp: the shapes and dtypes of the outputs.",
    ],
  ])("refuses %s", (_, run, message) => {
    expect(run).toThrow(message);
  });

  test("checks inputs against the signature before a kernel runs", () => {
    expect(() => total(t.arange(2))).toThrow(
      'test.total: needs a float tensor for x, got int32. Convert it: x.to({ dtype: "float32" }).',
    );
    expect(() => total()).toThrow("test.total: needs inputs (x), got 0.");
    expect(() => scaled(t.zeros([1]), { factr: 2 })).toThrow(
      'test.scaled: has no option "factr". Did you mean "factor"?',
    );
    expect(() => scaled(t.zeros([1]))).toThrow("test.scaled: needs the option factor (number).");
    expect(() => scaled(t.zeros([1]), { factor: "2" })).toThrow('test.scaled: needs a number for factor, got "2".');
    const lonely = t.defineOp({ name: "test.lonely", doc: "nothing yet", inputs: ["x"], infer: ([x]) => [x] });
    expect(() => lonely(t.zeros([1], { device: "cpu" }))).toThrow(
      'test.lonely: has no kernel on cpu and no composition. Give it one with registerKernel("test.lonely", device, kernel).',
    );
  });

  test("a gradient of a shape that cannot be the input's is refused, naming the op", () => {
    const wrong = t.defineOp({
      name: "test.wrong",
      doc: "x",
      inputs: ["x"],
      infer: ([x]) => [x],
      run: (k, [x], [out]) =>
        k.elementwise(
          {
            steps: [{ op: "input", type: "f32", args: [], value: 0 }],
            outputs: [0],
            inputCount: 1,
            scalarCount: 0,
            key: "copy",
          },
          [x],
          [out],
          [],
        ),
      backward: () => [t.zeros([3])],
    });
    const x = leaf([1, 2]);
    const backward = () => t.tidy(() => (wrong(x) as t.Tensor).sum().backward());
    expect(backward).toThrow("test.wrong: needs a gradient that sums to the shape of its input 0, got [3] and [2].");
    x.dispose();
  });

  test("a gradient that is no tensor, or on another device, is refused where it is returned", async () => {
    let given: unknown;
    const wrong = t.defineOp({
      name: "test.given",
      doc: "x + y",
      inputs: ["x", "y"],
      composition: ([x, y]) => x.add(y),
      backward: ({ grad }) => [grad, given as t.Tensor],
    });
    const [x, y] = [leaf([1, 2]), leaf([3, 4])];
    const backward = () => t.tidy(() => (wrong(x, y) as t.Tensor).sum().backward());
    const home = x.device;
    const other = home === "reference" ? "cpu" : "reference";
    const elsewhere = t.ones([2], { device: other });
    for (const [value, got] of [
      [[1, 1], "an array"],
      [0, "a number"],
      [elsewhere, `one on ${other}`],
    ]) {
      given = value;
      expect(backward).toThrow(`test.given: needs a tensor on ${home} from its backward for input 1, got ${got}.`);
      expect(y.grad).toBeUndefined();
    }
    given = undefined;
    backward();
    expect(await x.grad!.toArray()).toEqual([1, 1]);
    for (const tensor of [x.grad!, x, y, elsewhere]) tensor.dispose();
  });

  test("gradients that are no list of one for each input are refused, not dropped", () => {
    const definition = { doc: "x", inputs: ["x"], composition: ([x]: readonly t.Tensor[]) => x.clone() };
    const alone = t.defineOp({ ...definition, name: "test.alone", backward: ({ grad }) => grad as any });
    const x = leaf([1, 2]);
    const backward = (op: t.OpFunction, ...inputs: t.Tensor[]) =>
      t.tidy(() => (op(...inputs) as t.Tensor).sum().backward());
    const needs = (got: string) => `needs a list from its backward, one for each of its inputs (1), got ${got}.`;
    expect(() => backward(alone, x)).toThrow(`test.alone: ${needs("a Tensor")}`);
    const both = t.defineOp({ ...definition, name: "test.both", backward: ({ grad }) => [grad, grad] });
    expect(() => backward(both, x)).toThrow(`test.both: ${needs("2")}`);
    const short = t.defineOp({
      ...{ name: "test.short", doc: "x", inputs: ["a", "b"] },
      expr: ([a, b]) => expr.mul(a, b),
      derivative: ([, b]) => [b],
    });
    expect(() => short(x, x)).toThrow("needs a list from its derivative, one for each of its inputs (2), got 1.");
    x.dispose();
  });

  test("an op without a gradient says so where one is asked of it, and is no zero", () => {
    const bare = t.defineOp({ name: "test.bare", doc: "x", inputs: ["x"], expr: ([x]) => expr.mul(x, 2) });
    const x = leaf([1, 2]);
    const sum = (inner: t.Tensor) => t.tidy(() => t.add(inner.mul(5), bare(inner)).sum());
    const loss = sum(x);
    expect(() => loss.backward()).toThrow(
      /^test\.bare: has no gradient, its definition gives neither derivative nor backward\. Give one/,
    );
    t.noGrad(() => sum(x)).dispose();
    for (const tensor of [loss, x]) tensor.dispose();
  });
});

describe("override: true replaces what the op's functions run", () => {
  const before = t.getOp("square").definition;
  afterAll(() => void t.defineOp({ ...before, override: true }));

  test("also under methods, values and gradients", async () => {
    t.defineOp({
      ...before,
      override: true,
      version: 2,
      expr: ([x]) => expr.mul(expr.mul(x, x), 10),
      derivative: ([x]) => [expr.mul(x, 20)],
    });
    const x = leaf([1, 2]);
    const y = x.square();
    expect(await y.toArray()).toEqual([10, 40]);
    y.sum().backward();
    expect(await x.grad!.toArray()).toEqual([20, 40]);
    expect(t.listOps().find(({ name }) => name === "square")!.version).toBe(2);
  });
});

describe("interceptors", () => {
  test("see each call in order, with parents and the path of the module, and may change the result", async () => {
    const seen: string[] = [];
    const remove = [
      t.intercept(({ op, parent, modulePath }, next) => {
        seen.push(`a ${op.name}${parent ? ` of ${parent.op.name}` : ""}${modulePath ? ` in ${modulePath}` : ""}`);
        return next();
      }),
      t.intercept(({ op }, next) => {
        seen.push(`b ${op.name}`);
        const result = next();
        seen.push(`b done`);
        return op.name === "mul" ? [result[0].add(1)] : result;
      }),
    ];
    class Net extends Module {
      inner = new Linear(2, 1);
      forward(x: t.Tensor) {
        return this.inner.forward(x);
      }
    }
    const net = new Net();
    seen.length = 0;
    t.tidy(() => {
      meanSquare(t.tensor([1]));
      net.forward(t.ones([1, 2]));
    });
    for (const one of remove) one();
    net.dispose();
    expect(seen.filter((line) => line.startsWith("a"))).toEqual([
      "a test.meanSquare",
      "a mul of test.meanSquare",
      "a add of test.meanSquare",
      "a sum of test.meanSquare",
      "a div of test.meanSquare",
      "a linear in inner",
    ]);
    expect(seen[0]).toBe("a test.meanSquare");
    expect(seen[1]).toBe("b test.meanSquare");
    expect(await t.tidy(() => t.tensor(2).mul(3)).item()).toBe(6);
  });

  test("one that removes itself hides no call from the next", () => {
    const names: string[] = [];
    const once = t.intercept((_, next) => {
      once();
      return next();
    });
    const remove = t.intercept(({ op }, next) => {
      names.push(op.name);
      return next();
    });
    t.tidy(() => t.ones([1]).exp().log());
    remove();
    expect(names).toEqual(["exp", "log"]);
  });

  test("change no bit by watching, see conversions too, and are told apart when removed", async () => {
    const plain = await t.tidy(() => t.tensor([0.1, 0.7]).gelu().softmax().sum()).item();
    const names: string[] = [];
    const remove = t.intercept(({ op }, next) => {
      names.push(op.name);
      return next();
    });
    expect(await t.tidy(() => t.tensor([0.1, 0.7]).gelu().softmax().sum()).item()).toBe(plain);
    t.tidy(() => t.arange(2).to({ dtype: "float32" }));
    remove();
    remove();
    t.tidy(() => t.ones([1]).exp());
    expect(names).toEqual(["gelu", "softmax", "sum", "to"]);
  });

  test("an error that leaves a module says in which one it arose", () => {
    const net = new Linear(2, 1);
    class Net extends Module {
      layers = [net];
      forward(x: t.Tensor) {
        return this.layers[0].forward(x);
      }
    }
    const outer = new Net();
    expect(() => t.tidy(() => outer.forward(t.ones([1, 3])))).toThrow(
      "linear: needs x [..., in], weight [out, in] and bias [out], got [1, 3], [1, 2] and [1]. (in layers.0)",
    );
    outer.dispose();
  });
});
