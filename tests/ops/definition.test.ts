/** What a user's definition of an op may say, and what its functions may give. */
import {
  defineOp,
  expr,
  init,
  type OpFunction,
  ones,
  registerKernel,
  TenonError,
  type Tensor,
  tensor,
  tidy,
} from "tenon";
import { beforeAll, expect, test } from "vitest";

beforeAll(async () => {
  for (const device of ["reference", "cpu"] as const) await init({ device });
});

const define = (name: string, more: object): OpFunction =>
  defineOp({ name: `test.definition.${name}`, doc: "for a test", inputs: ["x"], ...more } as never);
const onOnes = (op: OpFunction) => tidy(() => void op(ones([2])));

test("a field that does not exist is refused, not passed over", () => {
  const wrong = { expr: ([x]: expr.Expr[]) => x, derivate: () => [1] };
  expect(() => define("field", wrong)).toThrow('defineOp: has no option "derivate". Did you mean "derivative"?');
  expect(() => define("attr", { attrs: { beta: { type: "float" } }, expr: ([x]: expr.Expr[]) => x })).toThrow(
    'for the type of "beta" of "test.definition.attr", got "float".',
  );
});

test.each<[string, object, string]>([
  ["arithmetic of JavaScript", { expr: ([x]: any) => x * 2 }, "needs an expression from its expr, got NaN. Build it"],
  ["nothing", { expr: () => undefined }, "needs an expression from its expr, got undefined."],
  [
    "a derivative of JavaScript",
    { expr: ([x]: any) => expr.mul(x, x), derivative: ([x]: any) => [2 * x] },
    "needs expressions, numbers or undefined from its derivative, got NaN.",
  ],
  ["a promise", { composition: async ([x]: any) => x }, "needs a tensor or a list of them from its composition, got a"],
  ["a list with a gap", { composition: ([x]: any) => [x, undefined] }, "from its composition, got undefined."],
  ["no specification", { infer: () => undefined, run: () => undefined }, "{ shape, dtype } from its infer, got undef"],
  [
    "a negative size",
    { infer: () => [{ shape: [-1], dtype: "float32" }], run: () => undefined },
    'from its infer, got shape [-1] and dtype "float32". Sizes are whole numbers from 0 up',
  ],
  [
    "a dtype of another name",
    { infer: () => [{ shape: [1], dtype: "f32" }], run: () => undefined },
    'got shape [1] and dtype "f32".',
  ],
])("%s in place of a result is named", (name, more, message) => {
  const op = define(name.replaceAll(" ", "-"), more);
  expect(() => onOnes(op)).toThrow(message);
});

test.each<[string, object, string]>([
  ["a rule that is no function", { run: 5, infer: ([x]: any) => [x] }, "needs a function for run, got a number."],
  [
    "a kind of input",
    { inputs: [{ name: "x", kind: "flaot" }], expr: ([x]: any) => x },
    'needs "float", "int", "number", "bool" or "any" for the kind of "x" of ',
  ],
  ["a promotion", { promotion: "flaot", expr: ([x]: any) => x }, 'needs "common", "float" or "none" for the promotion'],
])("%s that is none is refused", (name, more, message) => {
  expect(() => define(name.replaceAll(" ", "-"), more)).toThrow(message);
});

test.each<[string, (kernels: any, inputs: any, outputs: any) => void, string]>([
  [
    "a kind of reduction that there is not",
    (kernels, [x], [out]) => kernels.reduce("mean", x, out, { outer: 1, size: 2, inner: 1 }),
    'needs "sum", "prod", "max" or "min" for the kind of reduce, got "mean".',
  ],
  [
    "a kind of argReduce that there is not",
    (kernels, [x], [out]) => kernels.argReduce("max", x, out, { outer: 1, size: 2, inner: 1 }),
    'needs "argmax" or "argmin" for the kind of argReduce, got "max".',
  ],
  ["a kernel that there is not", (kernels) => kernels.mean(), "its kernel failed: kernels.mean is not a function."],
  ["a split that is missing", (kernels, [x], [out]) => kernels.reduce("max", x, out), "its kernel failed: Cannot "],
])("%s is told in the op's name, in run and in a registered kernel", (name, run, message) => {
  const infer = () => [{ shape: [], dtype: "float32" }];
  const registered = define(`registered ${name}`, { infer });
  for (const device of ["reference", "cpu"])
    registerKernel(registered.op.name, device, (inputs, outputs, _, kernels) => run(kernels, inputs, outputs));
  for (const op of [define(`run ${name}`, { infer, run }), registered])
    for (const device of ["reference", "cpu"] as const)
      tidy(() => {
        const x = ones([2]).to({ device });
        expect(() => op(x)).toThrow(TenonError);
        expect(() => op(x)).toThrow(`${op.op.name}: ${message}`);
      });
});

test("what a kernel throws by itself goes on as it is", () => {
  const op = define("own", {
    infer: ([x]: any) => [x],
    run: () => {
      throw new RangeError("own");
    },
  });
  expect(() => onOnes(op)).toThrow(RangeError);
});

test("an operand that is no expression is told as such", () => {
  const message = (got: string) => `expr: needs expressions and numbers, got ${got}.`;
  expect(() => expr.neg(undefined as never)).toThrow(message("undefined"));
  expect(() => expr.add(1, "2" as never)).toThrow(message("a string"));
  expect(() => expr.select(true as never, 1, 2)).toThrow(message("a boolean"));
  const op = define("operand", { expr: ([x]: any) => expr.mul(x, undefined as never) });
  expect(() => onOnes(op)).toThrow(message("undefined"));
});

test("a backward that reads what was not saved is told what is", () => {
  const copy = { composition: ([x]: readonly Tensor[]) => x.clone() };
  const backward = (op: OpFunction) =>
    tidy(() => {
      const x = tensor([1, 2], { requiresGrad: true });
      (op(x) as Tensor).sum().backward();
    });
  const hint = "It is given what saves names and nothing else: inputs [] and outputs [0].";
  const saves = { outputs: [0] };
  const asMethod = define("method", { ...copy, saves, backward: ({ inputs }: any) => [inputs[0].mul(2)] });
  expect(() => backward(asMethod)).toThrow(
    /^test\.definition\.method: its backward failed: Cannot read .*\. It is given/,
  );
  expect(() => backward(asMethod)).toThrow(hint);
  const asFactor = define("factor", { ...copy, saves, backward: ({ grad, inputs }: any) => [grad.mul(inputs[0])] });
  expect(() => backward(asFactor)).toThrow(`mul: needs a tensor for b, got undefined. ${hint}`);
  const shapes = define("shapes", { ...copy, backward: ({ grad }: any) => [grad.reshape([3])] });
  expect(() => backward(shapes)).toThrow(/^reshape: needs a shape of 2 elements/);
});
