import { describe, expect, test } from "vitest";
import { helpOf, parse, UsageError, usage } from "../../src/cli/arguments.js";

const table = usage({
  name: "cook",
  operands: "<dish>",
  count: [1, 2],
  about: "Cooks.",
  options: {
    minutes: { kind: { integer: [1, 90] }, help: "how long" },
    heat: { kind: { number: [0, 1] }, help: "how hot" },
    oven: { kind: ["gas", "electric"], help: "which one" },
    note: { kind: "text", value: "WORDS", help: "a remark" },
    with: { kind: "texts", help: "what goes in; may be repeated" },
    salt: { kind: { bytes: true }, help: "how much" },
    slowly: { kind: "flag", help: "take your time" },
  },
});

describe("options of commands", () => {
  test("are read by their kinds, in any order, with = or without", () => {
    const { values, operands } = parse(table, ["pie", "--minutes", "20", "--heat=0.5", "--oven", "gas", "--slowly"]);
    expect(operands).toEqual(["pie"]);
    expect(values).toEqual({ minutes: 20, heat: 0.5, oven: "gas", with: [], slowly: true, json: false, help: false });
    expect(parse(table, ["a", "--", "--minutes"]).operands).toEqual(["a", "--minutes"]);
    expect(parse(table, ["a", "--note", "-1", "--json"]).values).toMatchObject({ note: "-1", json: true });
    expect(parse(table, ["a", "--note=--json"]).values).toMatchObject({ note: "--json", json: false });
    expect(parse(table, ["a", "--with", "-", "--with=--nuts"]).values.with).toEqual(["-", "--nuts"]);
    expect(parse(table, ["-h"]).values.help).toBe(true);
  });

  test.each([
    ["500", 500],
    ["1.5kB", 1500],
    ["2MiB", 2 ** 21],
    ["3 GB", 3e9],
  ])("take the size %s", (given, bytes) => expect(parse(table, ["a", "--salt", given]).values.salt).toBe(bytes));

  test.each<[string[], string]>([
    [["a", "--minuts", "3"], "there is no option --minuts. Did you mean --minutes?"],
    [["a", "-x"], "there is no option -x."],
    [["a", "--minutes"], "--minutes needs a value."],
    [["a", "--note", "--json"], "--note needs a value. If --json is it, write --note=--json."],
    [["a", "--minutes", "--json"], "--minutes needs a value."],
    [["a", "--minutes", "2.5"], "--minutes needs an integer from 1 to 90, got 2.5."],
    [["a", "--minutes", "-1"], "--minutes needs an integer from 1 to 90, got -1."],
    [["a", "--minutes", ""], "--minutes needs an integer from 1 to 90, got nothing."],
    [["a", "--minutes="], "--minutes needs an integer from 1 to 90, got nothing."],
    [["a", "--heat", "hot"], "--heat needs a number from 0 to 1, got hot."],
    [["a", "--oven", "gass"], "--oven needs gas or electric, got gass. Did you mean gas?"],
    [["a", "--slowly=yes"], "--slowly takes no value, got yes."],
    [["a", "--salt", "a lot"], "--salt needs a size such as 500MB or 2GiB, got a lot."],
    [["a", "--salt", "0"], "--salt needs a size such as 500MB or 2GiB, got 0."],
    [[], "needs <dish>, got nothing."],
    [["a", "b", "c"], "needs <dish>, got a b c."],
  ])("refuse %j", (args, message) => {
    expect(() => parse(table, args)).toThrow(Object.assign(new UsageError(message), { command: "cook" }));
  });

  test("are told by the help", () => {
    expect(helpOf(table)).toBe(
      [
        "Usage: tenon cook <dish> [options]",
        "",
        "Cooks.",
        "",
        "  --minutes N          how long",
        "  --heat N             how hot",
        "  --oven gas|electric  which one",
        "  --note WORDS         a remark",
        "  --with TEXT          what goes in; may be repeated",
        "  --salt SIZE          how much",
        "  --slowly             take your time",
        "  --json               the last line of standard output is one JSON object, and",
        "                       the only one",
        "  --help               show this",
      ].join("\n"),
    );
  });
});
