/** What the benchmarks tell where something is absent: nothing that looks like a figure. */
import { expect, test, vi } from "vitest";
import { programArgs } from "../../bench/card.mjs";
import { gemmTable } from "../../bench/gemm.mjs";
import { NotMeasured, section } from "../../bench/results.mjs";
import { least, most, ratio } from "../../bench/tables.mjs";

test("ratios to absent peers are dashes", () => {
  expect([most(undefined, undefined), least()]).toEqual([undefined, undefined]);
  expect([most(1, undefined, 3), least(2, undefined, 1)]).toEqual([3, 1]);
  expect([ratio(3, 2), ratio(3, most()), ratio(undefined, 2), ratio(least(), 2)]).toEqual(["1.50x", "–", "–", "–"]);
});

test("the table of matrix products has our one run beside one of each peer", () => {
  const given = { threads: 2, shapes: [[4, 5, 6]], fast: { rates: [30] }, portable: { rates: [20], roof: 20 } };
  const row = (more: object) => gemmTable({ ...given, peers: {}, ...more }).split("\n")[2];
  expect(row({})).toBe("| 4 x 5 x 6 | 30.0 | 20.0 | 50% | absent | absent | absent | – | absent | – |");
  expect(row({ peers: { ort: { rates: [15] }, jax: { rates: [10] } }, pytorch: { rates: [60] } })).toBe(
    "| 4 x 5 x 6 | 30.0 | 20.0 | 50% | 15.0 | 10.0 | absent | 2.00x | 60.0 | 0.50x |",
  );
});

test("a suite that could not be measured leaves its section as it was", async () => {
  const [write, shown, told] = [vi.fn(), vi.spyOn(console, "log"), vi.spyOn(console, "error")];
  for (const spy of [shown, told]) spy.mockImplementation(() => {});
  const failing = (say: (line?: string) => void) => {
    say("| a head |");
    throw new NotMeasured("no file was read");
  };
  expect(await section("Reading data", failing, write)).toBe(false);
  expect(told.mock.calls).toEqual([["Reading data: not measured, no file was read; the section stays as it was."]]);
  expect(await section("Reading data", () => {}, write)).toBe(true); // one that writes itself
  expect(write).not.toHaveBeenCalled();
  await section(
    "Reading data",
    (say) => {
      say("a figure");
      say();
    },
    write,
  );
  expect(write.mock.calls).toEqual([["Reading data", "a figure\n"]]);
  await expect(
    section("Reading data", () => {
      throw new TypeError("a fault of ours");
    }),
  ).rejects.toThrow("a fault of ours");
  vi.restoreAllMocks();
});

test("the program for cards is given its own options, and none of another suite", () => {
  const all = { software: true, only: "roofs", bandwidth: "5", driver: "x.json", family: "navi31", keep: undefined };
  expect(programArgs(all)).toEqual(["--only", "roofs", "--bandwidth", "5", "--software"]);
  expect(programArgs({ software: false, out: "r.md", keep: true })).toEqual(["--out", "r.md"]);
});
