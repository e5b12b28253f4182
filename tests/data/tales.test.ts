import { describe, expect, test } from "vitest";
import { ambiguity, either, measure, pick, type Rule, weighted, write } from "../../src/data/grammar.js";
import { story, tales, talesEntropy } from "../../src/data/tales.js";

/** All ways in which `rule` derives a piece of `text` from `at` on: by its end, how many and their probability. */
function derivations(rule: Rule, text: string, at = 0): Map<number, { count: number; p: number }> {
  const found = new Map<number, { count: number; p: number }>();
  const add = (end: number, count: number, p: number) => {
    const known = found.get(end) ?? { count: 0, p: 0 };
    found.set(end, { count: known.count + count, p: known.p + p });
  };
  if (typeof rule === "string") {
    if (text.startsWith(rule, at)) add(at + rule.length, 1, 1);
  } else if ("total" in rule) {
    for (const { weight, rule: alternative } of rule.alternatives) {
      for (const [end, { count, p }] of derivations(alternative(), text, at))
        add(end, count, (p * weight) / rule.total);
    }
  } else if (rule.length === 0) add(at, 1, 1);
  else {
    const [first, ...rest] = rule;
    for (const [middle, before] of derivations(first, text, at)) {
      for (const [end, after] of derivations(rest, text, middle))
        add(end, before.count * after.count, before.p * after.p);
    }
  }
  return found;
}

const stories = (text: string) => text.split(/(?<=\n)/);

describe("tales", () => {
  const text = tales({ seed: 1337, length: 60_000 });

  test("are whole stories in few characters, the same for a seed, and a longer text begins with a shorter one", () => {
    expect(text.length).toBeGreaterThanOrEqual(60_000);
    expect(text.length).toBeLessThan(61_000);
    expect(text.endsWith(".\n")).toBe(true);
    expect(new Set(text).size).toBeLessThan(60);
    expect(text).toMatch(/^[\n !",.?A-Za-z]+$/);
    expect(tales({ seed: 1337, length: 500 })).toBe(text.slice(0, tales({ seed: 1337, length: 500 }).length));
    expect(tales({ seed: 7, length: 500 })).not.toBe(tales({ seed: 1337, length: 500 }));
    expect(tales({ length: 1 })).toBe(tales({ seed: 0, length: 1 }));
    expect(stories(tales({ length: 1 }))).toHaveLength(1);
  });

  test("are these, for all time: models are compared by them", () => {
    expect(tales({ seed: 1, length: 1 })).toMatchInlineSnapshot(`
      "One morning Ben went into the woods with his yellow drum. The wind blew hard, and suddenly the drum was gone. "Oh no, my drum!" said Ben. He looked in a hollow tree, but it was not there. Emma came to help and looked behind a stone. There was the yellow drum! "Thank you, Emma," said Ben. What a good day it was!
      "
    `);
  });

  test("agree in their parts", () => {
    const told = stories(text);
    const lost = told.map((tale) =>
      tale.match(/with (?:his|her) (\w+ \w+)\. .* (the \w+) was gone.*There was the (\w+ \w+)!/),
    );
    expect(lost.filter(Boolean).length).toBeGreaterThan(20);
    for (const [, thing, gone, found] of lost.filter((match) => match !== null)) {
      expect(found).toBe(thing);
      expect(`the ${thing.split(" ")[1]}`).toBe(gone);
    }
    const numbers = "zero one two three four five six".split(" ");
    const shared = told.map((tale) =>
      tale.match(/had (\w+) (?:\w+)\. .*gave (?:her|him) (\w+) .*so (?:he|she) had (\w+) \w+ left/),
    );
    expect(shared.filter(Boolean).length).toBeGreaterThan(20);
    for (const match of shared.filter((match) => match !== null)) {
      const [all, given, left] = match.slice(1).map((word) => numbers.indexOf(word));
      expect(all - given).toBe(left);
    }
  });

  test("refuse a length that is none", () => {
    expect(() => tales({ length: 0 })).toThrow(/tales: needs a positive integer for length, got 0\./);
    expect(() => tales({ length: Number.NaN })).toThrow(/got NaN/);
    expect(() => tales({ length: 10, seed: -1 })).toThrow(/seed: needs an integer/);
  });
});

describe("the entropy of tales", () => {
  test("is exact because every text has one derivation", () => {
    // A proof over the whole grammar, see ambiguity(); and a count of derivations on samples, which knows nothing of it.
    expect(ambiguity(story)).toBeUndefined();
    for (const tale of stories(tales({ seed: 3, length: 20_000 }))) {
      const found = derivations(story, tale);
      expect([...found].map(([end, { count }]) => [end, count])).toEqual([[tale.length, 1]]);
    }
  });

  test("is what the stories hold: -log p per character comes close to it", () => {
    let nats = 0;
    let squares = 0;
    const entropy = talesEntropy();
    const told = stories(tales({ seed: 11, length: 400_000 }));
    for (const tale of told) {
      const information = -Math.log(derivations(story, tale).get(tale.length)!.p);
      nats += information;
      squares += (information - entropy * tale.length) ** 2;
    }
    const characters = told.reduce((sum, { length }) => sum + length, 0);
    // The error of the mean, by the spread seen: four of them hold all but 1 in 10,000 seeds, and this is one seed.
    const error = Math.sqrt(squares) / characters;
    expect(error / entropy).toBeLessThan(0.005);
    expect(Math.abs(nats / characters - entropy)).toBeLessThan(4 * error);
    const { length } = measure(story);
    expect(characters / told.length / length).toBeCloseTo(1, 1);
  });
});

describe("grammars", () => {
  test("measure texts, sequences, choices and what depends on them", () => {
    expect(measure("abc")).toEqual({ nats: 0, length: 3 });
    expect(measure(["a", either("b", "c")])).toEqual({ nats: Math.log(2), length: 2 });
    const { nats, length } = measure(weighted([3, "a"], [1, ["b", either("cc", "dd")]]));
    expect(nats).toBeCloseTo(0.75 * Math.log(4 / 3) + 0.25 * (Math.log(4) + Math.log(2)), 12);
    expect(length).toBeCloseTo(0.75 + 0.25 * 3, 12);
    expect(measure(pick(["x", "yy"], (item) => [item, item])).length).toBe(3);
  });

  test("write by their draws", () => {
    const rule = weighted([3, "a"], [1, pick(["x", "y"], (item) => [item, "-", item])]);
    const by = (...draws: number[]) => write(rule, () => draws.shift() as number);
    expect([by(0), by(2), by(3, 0), by(3, 1)]).toEqual(["a", "a", "x-x", "y-y"]);
    expect(() => by(4)).toThrow(RangeError);
  });

  test("are found ambiguous where a text may have two derivations", () => {
    expect(ambiguity(either("a", "b"))).toBeUndefined();
    expect(ambiguity(either("a", "a"))).toEqual(["a", "a"]);
    expect(ambiguity(["x", either("a", ["a", "b"])])).toEqual(["a", "ab"]);
    expect(ambiguity(either("", "b"))).toEqual(["", "b"]);
    expect(ambiguity(either(["a", either("b", "c")], ["a", either("d", "e")]))).toBeUndefined();
    expect(ambiguity(pick([1, 2], () => ["a", either("b", "c")]))).toEqual(["ab", "ab"]);
    expect([...derivations(either("a", "a"), "a").values()]).toEqual([{ count: 2, p: 1 }]);
  });
});
