import { describe, expect, test } from "vitest";
import type { Io } from "../../src/cli/io.js";
import { block, facts, sentence, widthOf } from "../../src/cli/layout.js";
import { bar, duration, Pace, Screen, thousands, Wrapped } from "../../src/cli/progress.js";
import { recordingIo } from "../setup/command-io.js";

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are controlled by them
const MOVES = /\r|\n|\u001b\[(\d+)A|\u001b\[J|[^\r\n\u001b]+/g;

/** What a terminal shows after all that was written: lines, with the cursor moves that Screen uses. */
function shown(written: string): string[] {
  const lines = [""];
  let row = 0;
  for (const [piece] of written.matchAll(MOVES)) {
    if (piece === "\r") continue;
    if (piece === "\n") lines[++row] ??= "";
    else if (piece.endsWith("A") && piece.startsWith("\x1b")) row -= Number(piece.slice(2, -1));
    else if (piece === "\x1b[J") lines.splice(row, lines.length - row, "");
    else lines[row] += piece;
  }
  return lines;
}

function setUp(isTerminal: boolean) {
  let written = "";
  let time = 0;
  const write = (text: string) => void (written += text);
  const io = { write, out: write, err: write, isTerminal, columns: 21, rows: 24 } as unknown as Io;
  const screen = new Screen(io, () => time);
  return { screen, pass: (ms: number) => (time += ms), written: () => written, now: () => shown(written) };
}

describe("the screen", () => {
  test("keeps lines, and redraws the area below them", () => {
    const { screen, pass, now } = setUp(true);
    screen.line("one");
    screen.area(() => ["a", "b"]);
    expect(now()).toEqual(["one", "a", "b", ""]);
    pass(200);
    screen.area(() => ["c", "d"]);
    expect(now()).toEqual(["one", "c", "d", ""]);
    screen.line("two");
    screen.area(() => ["e"]);
    expect(now()).toEqual(["one", "two", "e", ""]);
    screen.clear();
    expect(now()).toEqual(["one", "two", ""]);
  });

  test("draws at most ten times a second, and cuts what would wrap", () => {
    const { screen, pass, now } = setUp(true);
    let drawings = 0;
    for (let i = 0; i < 100; i++, pass(10)) screen.area(() => [`${++drawings}`]);
    expect(drawings).toBe(10);
    pass(100);
    screen.area(() => ["x".repeat(50)]);
    expect(now()[0]).toBe(`${"x".repeat(19)}…`);
  });

  test("draws nothing where nobody looks", () => {
    const { screen, written } = setUp(false);
    screen.area(() => {
      throw new Error("not drawn");
    });
    screen.line("one");
    screen.clear();
    expect(written()).toBe("one\n");
  });
});

test("blocks of text are indented, and broken between words", () => {
  expect(block("one two three four five six\n\nseven\n", 26)).toBe("    one two three four\n    five six\n\n    seven");
  expect(block("x".repeat(45), 26)).toBe(`    ${"x".repeat(20)}\n    ${"x".repeat(20)}\n    xxxxx`);
  expect(block("", 80)).toBe("");
});

test("text that arrives in pieces is broken between words", () => {
  let written = "";
  const page = new Wrapped((text) => (written += text), 10);
  for (const piece of ["on", "e two th", "ree\n\nfo", "ur fives si"]) page.push(piece);
  expect(written).toBe("one two \nthree\n\nfour fives ");
  page.flush();
  expect(written).toBe("one two \nthree\n\nfour fives \nsi");
});

test("bars, times and numbers", () => {
  expect([bar(0, 4), bar(0.5, 4), bar(1, 4), bar(2, 4)]).toEqual(["────", "━━──", "━━━━", "━━━━"]);
  expect([0, 59_400, 60_000, 3_599_000, 7_500_000].map(duration)).toEqual([
    "0 s",
    "59 s",
    "1 min 00 s",
    "59 min 59 s",
    "2 h 05 min",
  ]);
  expect([0, 999, 1000, 1234567.8].map(thousands)).toEqual(["0", "999", "1,000", "1,234,568"]);
});

test("the pace of a resumed run counts its own steps only, and not the first, which prepares", () => {
  let time = 0;
  const pace = new Pace(() => time);
  pace.startFrom(100);
  expect(pace.left).toBeUndefined();
  time = 3000;
  pace.step({ step: 101, steps: 201, tokensPerSecond: 2000 });
  expect(pace.left).toBeUndefined();
  expect(pace.describe()).toBe("2,000 tokens/s");
  time = 8000;
  pace.step({ step: 111, steps: 201, tokensPerSecond: 2000 });
  expect(pace.left).toBe(45_000);
  expect(pace.describe()).toBe("2,000 tokens/s  45 s left");
  time = 50_000;
  pace.step({ step: 201, steps: 201, tokensPerSecond: 3000 });
  expect(pace.describe()).toBe("2,100 tokens/s  50 s");
  expect(pace.share).toBe(1);
});

test("on a terminal sentences and facts are broken between words, elsewhere they are whole lines", () => {
  const pipe = recordingIo().io;
  const terminal = { ...recordingIo(true).io, columns: 30 };
  const text = "a sentence of more than thirty characters";
  expect(sentence(text, terminal)).toBe("a sentence of more than thirty\ncharacters");
  expect(sentence(text, pipe)).toBe(text);
  const rows = [["key", text]] as const;
  expect(facts(rows, widthOf(terminal))).toEqual(["key  a sentence of more than", "     thirty characters"]);
  expect(facts(rows, widthOf(pipe))).toEqual([`key  ${text}`]);
});
