import { describe, expect, test } from "vitest";
import {
  Generator,
  philox4x32,
  randomBits,
  randomInteger,
  randomNormal,
  randomPermutation,
  randomUniform,
} from "../../src/core/random.js";
import { Sha256 } from "../../src/core/sha256.js";

describe("Philox-4x32-10", () => {
  // Known-answer vectors published with Random123 (kat_vectors).
  const vectors = [
    { counter: [0, 0, 0, 0], key: [0, 0], out: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      out: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      out: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ];
  test.each(vectors)("published vector %#", ({ counter: [a, b, c, d], key: [k0, k1], out }) => {
    const got = new Uint32Array(4);
    philox4x32(a, b, c, d, k0, k1, got);
    expect([...got]).toEqual(out);
  });
});

describe("streams", () => {
  test("are functions of seed, name, call and index", () => {
    const a = new Generator(7);
    const first = randomBits(a.next("dropout"), 10);
    const second = randomBits(a.next("dropout"), 10);
    expect(first).not.toEqual(second);
    expect(randomBits(new Generator(7).at("dropout", 1), 5)).toEqual(second.subarray(0, 5));
    expect(randomBits(new Generator(7).next("init"), 10)).not.toEqual(first);
    expect(randomBits(new Generator(8).next("dropout"), 10)).not.toEqual(first);
  });
  test("state is saved and restored exactly", () => {
    const a = new Generator(3);
    a.next("x");
    a.next("y");
    const state = JSON.parse(JSON.stringify(a.getState()));
    const b = new Generator(0);
    b.setState(state);
    expect(b.next("x")).toEqual(a.next("x"));
    expect(b.getSeed()).toBe(3);
    for (const [state, message] of [
      [null, "seed: needs an integer"],
      [{ seed: 9 }, "setState: needs whole numbers from 0 up for calls, got undefined."],
      [{ seed: 9, calls: 5 }, "for calls, got 5."],
      [{ seed: 9, calls: { a: 1, b: -1 } }, "for calls, got an object."],
      [{ seed: 9, calls: { a: "1" } }, "for calls, got an object."],
    ] as const)
      expect(() => b.setState(state as never)).toThrow(message);
    expect(() => b.setState({ seed: -1, calls: {} })).toThrow("seed: needs an integer");
    expect(b.getState()).toEqual(a.getState());
  });
  test("uniforms, normals, integers and permutations have their distributions", () => {
    const generator = new Generator(1);
    const mean = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
    const uniforms = randomUniform(generator.next("u"), 20000);
    expect(mean(uniforms)).toBeCloseTo(0.5, 2);
    expect(Math.max(...uniforms)).toBeLessThan(1);
    const normals = randomNormal(generator.next("n"), 20001);
    expect(normals.length).toBe(20001);
    expect(Math.abs(mean(normals))).toBeLessThan(0.03);
    expect(mean(normals.map((x) => x * x))).toBeCloseTo(1, 1);
    const call = generator.next("i");
    const counts = new Array(6).fill(0);
    for (let i = 0; i < 6000; i++) counts[randomInteger(call, i, 6)]++;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(130);
    expect([...randomPermutation(generator.next("p"), 50)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 50 }, (_, i) => i),
    );
  });
  test("the bits of uniforms and normals are those of the first version", () => {
    const call = { key0: 0x89abcdef, key1: 0xfedcba98, call: 5 };
    const hash = (values: Float32Array) =>
      new Sha256().update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)).digest();
    expect(hash(randomUniform(call, 100_003))).toBe("aebcff92939fcbf9c7e21fba0533e16a0a471cf1c3358dae83f4c794d3c645aa");
    expect(hash(randomNormal(call, 100_003))).toBe("4aad50a7f646e5bdd895c1d7a97b73c8f4c999037be24b31271bbf023e41113b");
  });
  test("a seed that is no integer is refused", () => {
    expect(() => new Generator(0.5)).toThrow("seed: needs an integer");
  });
});
