/** What a user's definition of an op may say, and what its functions may give. */
import { defineOp, expr, type OpFunction, ones, type Tensor, tensor, tidy } from "tenon";
import { expect, test } from "vitest";

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
