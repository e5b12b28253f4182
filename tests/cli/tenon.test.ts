/** `tenon` as it is installed: child processes of the built command. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { TrainingResult } from "tenon/runs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { summary } from "../../src/cli/train.js";
import { tales } from "../../src/data/tales.js";
import { builtDist } from "../setup/dist.js";

const dir = mkdtempSync(join(tmpdir(), "tenon-command-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const config = {
  data: { corpus: "tales", length: 8000 },
  model: { n_layer: 1, n_head: 2, n_embd: 16 },
  training: { steps: 12, batchSize: 2, blockSize: 16, evalEvery: 6, checkpointEvery: 5, sampleTokens: 20 },
  device: "cpu",
};

let cli: string;
beforeAll(async () => {
  cli = join(await builtDist(), "cli.js");
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  const training = { ...config.training, evalEvery: 1000, sampleEvery: 0, checkpointEvery: 40 };
  writeFileSync(join(dir, "steady.json"), JSON.stringify({ ...config, training }));
}, 120_000);

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

/** Runs `tenon` in the test's folder; `meet` sees the process when it begins, and whenever it has written. */
function tenon(args: string[], meet: (child: ChildProcess, out: string) => void = () => {}): Promise<Outcome> {
  const child = spawn(process.execPath, [cli, ...args], { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
  meet(child, "");
  const written = { out: "", err: "" };
  child.stdout.on("data", (bytes) => meet(child, (written.out += bytes)));
  child.stderr.on("data", (bytes) => (written.err += bytes));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...written })));
}

const call = (line: string) => tenon(line.split(" ").filter(Boolean));
const STACK = /\n +at /;

describe("tenon", () => {
  test("shows help and version", async () => {
    const [help, none, version, ofTrain] = await Promise.all(["--help", "", "--version", "help train"].map(call));
    expect(help).toMatchObject({ code: 0, err: "" });
    expect(help.out).toMatch(/^Usage: tenon <command> \[options\]\n\n {2}train .*\n {2}generate /);
    expect(help.out).not.toMatch(/ start /);
    expect(none).toEqual({ code: 2, out: "", err: help.out });
    expect(version).toEqual({ code: 0, out: "0.1.0\n", err: "" });
    expect(ofTrain.out).toMatch(/^Usage: tenon train <config.json> \[options\]\n/);
    expect(ofTrain.code).toBe(0);
    const commands = "generate,tokenize,tokenizer train,data check,runs,runs replay,run,start,doctor".split(",");
    const others = await Promise.all(commands.map((name) => call(`${name} --help`)));
    for (const { out } of [help, ofTrain, ...others]) {
      expect(out).toMatch(/^Usage: tenon /);
      expect(Math.max(...out.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    }
  });

  test("a full disk behind standard output is told in a sentence", async () => {
    if (!existsSync("/dev/full")) return console.warn("skipped: this system has no /dev/full");
    const full = openSync("/dev/full", "w");
    const { status, stderr } = spawnSync(process.execPath, [cli, "--help"], {
      stdio: ["ignore", full, "pipe"],
      encoding: "utf8",
    });
    closeSync(full);
    expect([status, stderr]).toEqual([
      1,
      "tenon: standard output cannot be written: ENOSPC: no space left on device, write.\n",
    ]);
  });

  test("a reader that leaves is told nothing; the code is that of a closed pipe, or of the failure", async () => {
    const leave = (child: ChildProcess) => child.stdout?.destroy();
    const lines = ["--help", "doctor", "runs list", "train none.json"];
    const [help, doctor, list, failed] = await Promise.all(lines.map((line) => tenon(line.split(" "), leave)));
    for (const { code, err } of [help, doctor, list]) expect([code, err]).toEqual([141, ""]);
    expect([failed.code, failed.err]).toEqual([1, "none.json: cannot be read, no such file.\n"]);
  });

  test("a tokenizer is trained to its end, whether anyone reads how or not", async () => {
    writeFileSync(join(dir, "words.txt"), tales({ length: 4000 }));
    const leave = (child: ChildProcess) => child.stderr?.destroy();
    const line = "tokenizer train words.txt --vocab-size 300 --out words.json";
    const { code, out } = await tenon(line.split(" "), leave);
    expect([code, out]).toEqual([141, expect.stringMatching(/^words\.json: 300 tokens/)]);
    expect(existsSync(join(dir, "words.json"))).toBe(true);
  });

  test("no tokenizer is made of nothing, and one that is larger than asked for is told", async () => {
    writeFileSync(join(dir, "none.txt"), "");
    writeFileSync(join(dir, "ab.txt"), "a b\n");
    const train = (line: string) => call(`tokenizer train ${line} --out small.json`);
    expect(await train("none.txt none.txt")).toMatchObject({
      code: 1,
      err: "none.txt and none.txt: needs a text to learn from, got none.\n",
    });
    expect(existsSync(join(dir, "small.json"))).toBe(false);
    const told =
      "warning: --vocab-size 2 leaves no room for merges: special tokens and the alphabet (of BPE on bytes all 256) are kept";
    for (const [more, tokens, warned] of [
      ["--vocab-size 2", 256, `${told}, 256 tokens.\n`],
      ["--vocab-size 2 --model wordpiece", 3, `${told}, 3 tokens.\n`],
      ["--vocab-size 256", 256, ""],
    ] as const) {
      const { code, out, err } = await train(`none.txt ab.txt ${more} --json`);
      expect([code, JSON.parse(out).vocabSize, err]).toEqual([0, tokens, warned]);
    }
  });

  test.each([
    ["trian", /^tenon: there is no command "trian"\. Did you mean "train"\?\n/],
    ["data", /^tenon data: needs another word: tenon data check\./],
    ["constructor", /there is no command "constructor"\./],
    ["train", /^tenon train: needs <config\.json>, or --resume RUN\.\n"tenon train --help"/],
    ["train config.json --step 3", /there is no option --step\. Did you mean --steps\?/],
    ["train config.json --steps 0", /--steps needs an integer from 1 up, got 0\./],
    ["train config.json --device cup", /--device needs auto, cpu, webgpu or reference, got cup\. Did you mean cpu\?/],
    ["train config.json --device gpu", /, got gpu\. Did you mean webgpu\?/],
    ["train --resume x --seed 3", /--seed cannot change in a run that is resumed\./],
    ["generate", /^tenon generate: needs <run or checkpoint>, got nothing\./],
    ["doctor now", /^tenon doctor: takes no operands, got now\./],
    ["runs show", /^tenon runs show: needs RUN, got nothing\.\n"tenon runs show --help" lists/],
    ["runs shw", /^tenon runs: there is no command "shw"\. Did you mean "show"\?\n"tenon runs --help"/],
  ])("refuses %j with exit code 2", async (line, message) => {
    const { code, out, err } = await call(line);
    expect(err).toMatch(message);
    expect(err).not.toMatch(STACK);
    expect({ code, out }).toEqual({ code: 2, out: "" });
  });

  test("a text in the place of a tokenizer is told where it belongs", async () => {
    writeFileSync(join(dir, "book.txt"), "Once upon a time\n");
    writeFileSync(join(dir, "book.md"), "# Once\n");
    writeFileSync(join(dir, "nothing.txt"), "");
    for (const file of ["book.txt", "book.md", "nothing.txt"]) {
      const { code, err } = await call(`tokenize ${file} --text time`);
      expect(code).toBe(1);
      expect(err).toMatch(/^\w+\.\w+: .* The first argument is the tokenizer; the text goes by --file or --text\.\n$/);
    }
    const { code, err } = await call("tokenize book.txt");
    expect(code).toBe(2);
    expect(err).toMatch(/needs either --text or --file, the text to cut; book\.txt is read as the tokenizer\./);
  });

  test("an ES module that Node takes for CommonJS is told how to be one", async () => {
    const folder = mkdtempSync(join(dir, "common-"));
    writeFileSync(join(folder, "package.json"), '{ "type": "commonjs" }');
    writeFileSync(join(folder, "imports.js"), 'import "node:fs";\nexport default () => 3;\n');
    writeFileSync(join(folder, "exports.js"), "export default () => 3;\n");
    writeFileSync(join(folder, "outer.mjs"), 'import "./exports.js";\n');
    writeFileSync(join(folder, "wrong.js"), "let a = ;\n");
    const run = (file: string) => tenon(["run", join(folder, file)]);
    for (const [file, place] of [
      ["imports.js", "imports.js"],
      ["exports.js", "exports.js"],
      ["outer.mjs", "exports.js"],
    ]) {
      const { code, err } = await run(file);
      expect(code).toBe(1);
      expect(err).toContain(`${join(folder, place)}:1: needs CommonJS by its name or package.json, got an ES module: `);
      expect(err).toContain('Name it .mjs, or write "type": "module" into that package.json.');
      expect(err).not.toMatch(STACK);
    }
    expect((await run("wrong.js")).err).toMatch(/SyntaxError: Unexpected token ';'\n +at /);
  });

  test("fails with one message and exit code 1, and a stack only with --debug", async () => {
    writeFileSync(join(dir, "misspelt.json"), JSON.stringify({ ...config, training: { stpes: 3 } }));
    writeFileSync(join(dir, "broken.json"), '{ "data": ');
    writeFileSync(join(dir, "null.json"), "null");
    writeFileSync(join(dir, "five.json"), JSON.stringify({ ...config, training: 5 }));
    writeFileSync(join(dir, "throws.mjs"), 'export default () => {\n  throw new Error("mine");\n};');
    writeFileSync(join(dir, "code.json"), '{"optimizer":"adamw","model":{"n_layer":1}}');
    const [misspelt, debug, broken, missing, noRun, none, noneSet, five, throwing, code] = await Promise.all(
      [
        "train misspelt.json",
        "train misspelt.json --debug",
        "train broken.json --json",
        "train none.json",
        "generate none --json",
        "train null.json",
        "train null.json --steps 5",
        "train five.json --steps 5",
        "run throws.mjs",
        "train code.json",
      ].map(call),
    );
    expect(misspelt).toMatchObject({ code: 1, out: "" });
    expect(misspelt.err).toMatch(/^misspelt\.json: .*stpes.*steps.*\n$/);
    expect(debug.err).toMatch(STACK);
    expect(debug.code).toBe(1);
    expect(broken).toMatchObject({ code: 1, out: "" });
    expect(broken.err).toMatch(/^broken\.json: is not valid JSON: .*\n$/);
    expect(missing.err).toBe("none.json: cannot be read, no such file.\n");
    expect(noRun).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/holds no run "none"/) });
    for (const { code, err } of [none, noneSet]) {
      expect(code).toBe(1);
      expect(err).toBe("null.json: needs an object, got null.\n");
    }
    expect(five).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^five\.json: "training" needs an object, got 5/),
    });
    expect(throwing).toMatchObject({ code: 1, err: expect.stringMatching(/^Error: mine\n +at .*throws\.mjs:2:/) });
    expect(throwing.err).not.toMatch(/fault in tenon/);
    expect(code).toMatchObject({ code: 1, err: expect.stringMatching(/^code\.json: "optimizer" is not a known key/) });
    expect(readdirSync(dir)).not.toContain("runs");
  });

  test("a program prints aside with --json, and a run that it does not await is told", async () => {
    const talks =
      "console.log('one'); setTimeout(() => console.log('late'), 1); export default () => console.log('two');";
    writeFileSync(join(dir, "talks.mjs"), talks);
    const library = JSON.stringify(pathToFileURL(join(cli, "../node/tenon.js")));
    writeFileSync(join(dir, "hasty.mjs"), `import { train } from ${library};\ntrain(${JSON.stringify(config)});`);
    const [aside, plain, hasty] = await Promise.all(
      ["run talks.mjs --json", "run talks.mjs", "run hasty.mjs"].map(call),
    );
    expect(aside).toMatchObject({ code: 0, out: '{"file":"talks.mjs","result":null}\n' });
    expect(aside.err).toMatch(/^one\ntwo\n/);
    expect(plain).toMatchObject({ code: 0, out: expect.stringMatching(/^one\ntwo\n/), err: "" });
    expect(hasty).toEqual({
      code: 1,
      out: "",
      err: "hasty.mjs: ended before a training run that it started, which ends with it. Await the run: await train(…).\n",
    });
  });

  test("says what the machine offers", async () => {
    const [{ code, out }, json] = await Promise.all(["doctor", "doctor --json"].map(call));
    expect(code).toBe(0);
    expect(out).toMatch(/^tenon +0\.1\.0\nhost +node\n/);
    expect(out).toMatch(/\n(Missing:\n {2}|Nothing is missing\.)/);
    expect(JSON.parse(json.out)).toMatchObject({ version: "0.1.0", environment: { node: process.versions.node } });
    expect(json.out.trimEnd()).not.toMatch(/\n/);
  });
});

describe("a run", () => {
  let whole: any;

  test("with --json gives one line, and tells the rest aside", async () => {
    const { code, out, err } = await call("train config.json --json --out json-runs --threads 1");
    expect(code).toBe(0);
    expect(out).toMatch(/^\{.*\}\n$/);
    whole = JSON.parse(out);
    const promised =
      "runId executionId runDir steps trainLoss valLoss weightsHash tokensPerSecond device threads numerics";
    expect(Object.keys(whole)).toEqual(expect.arrayContaining(promised.split(" ")));
    expect(whole).toMatchObject({ steps: 12, device: "cpu", threads: 1, numerics: "portable" });
    expect(whole.runDir).toMatch(/json-runs/);
    expect(err).toMatch(/^Device: cpu, 1 thread, .*\nRun json-runs\//);
  });

  test("is shown in lines: device first, losses, samples, memory, what to do next", async () => {
    const { code, out, err } = await call("train config.json");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^Device: cpu, .*\nRun runs.*: [\d,]+ parameters, 12 steps\.\nstep 1 of 12 {2}loss 3\.\d+ /);
    expect(out).toMatch(/\nstep 6 {2}validation loss \d\.\d{4}\n/);
    expect(out).toMatch(/\nstep 12 {2}validation loss \d\.\d{4} \(all of it\)\n/);
    expect(out).toMatch(/\nstep 6 {2}a sample:\n {4}/);
    expect(out).toMatch(/memory: peak [1-9][\d.]* \w+, live [\d.]+ \w+, pooled [\d.]+ \w+\.\n/);
    expect(out).toContain(`\nWeights ${whole.weightsHash}\nin runs/`);
    expect(out).not.toContain("\x1b");
  });

  test("writes: a checkpoint and its run write the same, and the stream is the text", async () => {
    const checkpoint = join(whole.runDir, "checkpoints", "step-000012");
    const options = [
      "--prompt",
      "One day",
      "--max-tokens",
      "20",
      "--seed",
      "3",
      "--temperature",
      "0.5",
      "--device",
      "cpu",
    ];
    const [byName, byFolder, streamed] = await Promise.all([
      tenon(["generate", whole.executionId, "--out", "json-runs", ...options, "--json"]),
      tenon(["generate", checkpoint, ...options, "--json"]),
      tenon(["generate", whole.runDir, ...options]),
    ]);
    const result = JSON.parse(byName.out);
    expect(result).toMatchObject({ model: checkpoint, prompt: "One day", finishReason: "length" });
    expect(result.tokens).toHaveLength(20);
    expect(JSON.parse(byFolder.out).text).toBe(result.text);
    expect(streamed.out).toMatch(/^Device: cpu/);
    expect(streamed.out.endsWith(`\n\nOne day${result.text}\n`)).toBe(true);
  });

  test("stops at Ctrl-C, and the command it names ends it with the same weights", async () => {
    // Long enough not to end before the signal, short enough to be waited for.
    const train = ["train", "steady.json", "--steps", "150"];
    let signalled = false;
    const stopped = await tenon([...train, "--out", "stopped"], (child, out) => {
      if (signalled || !/\nstep [2-9]/.test(out)) return;
      signalled = true;
      child.kill("SIGINT");
    });
    expect(stopped.code).toBe(0);
    expect(stopped.out).toMatch(/Ctrl-C again ends at once\.\n[\s\S]*Stopped after step \d+: /);
    const [, command] = /Go on with:\n {2}(?:npx )?tenon (.*)\n/.exec(stopped.out) as RegExpExecArray;
    const [resumed, undisturbed] = await Promise.all([
      call(`${command} --threads 1 --json`),
      tenon([...train, "--out", "undisturbed", "--json"]),
    ]);
    expect(JSON.parse(resumed.out)).toMatchObject({ steps: 150, threads: 1 });
    expect(JSON.parse(resumed.out).weightsHash).toBe(JSON.parse(undisturbed.out).weightsHash);
    const again = await call(command);
    expect(again).toMatchObject({ code: 1, err: expect.stringMatching(/is done, there is nothing to resume/) });
  });

  test("whose reader leaves is stopped, and can be resumed", async () => {
    const leave = (child: ChildProcess, out: string) => void (/\nstep 1 /.test(out) && child.stdout?.destroy());
    const { code, err } = await tenon(["train", "steady.json", "--steps", "300", "--out", "left"], leave);
    expect([code, err]).toEqual([141, ""]);
    const { runs } = JSON.parse((await call("runs list --dir left --json")).out);
    const [left] = runs;
    expect(left.status).toBe("stopped");
    const resumed = await call(`train --resume ${left.executionId} --out left`);
    expect(resumed.out).toMatch(/: going on after step [1-9]\d*, [\s\S]*\nDone after step 300: /);
  });

  test("that was stopped before its first step says how to go on", () => {
    const memory = { live: 0, pooled: 0, peak: 0 };
    const result = { steps: 0, stopped: true, trainLoss: Number.NaN, valLoss: Number.NaN, weightsHash: "ab", memory };
    // npm knows a program that the shell may not know.
    for (const [command, program] of [
      ["start", "npx tenon"],
      ["", "tenon"],
    ]) {
      vi.stubEnv("npm_command", command);
      const [first, ...rest] = summary({ ...result, runDir: "runs/x-1", executionId: "x-1" } as TrainingResult);
      expect([first, ...rest.slice(-2)]).toEqual([
        "Stopped before the first step.",
        "Go on with:",
        `  ${program} train --resume x-1`,
      ]);
    }
    vi.unstubAllEnvs();
  });

  test("ends at once when Ctrl-C comes twice", async () => {
    // A run that has stopped by itself before the second signal came says nothing.
    for (let code: number | null = 0, tries = 0; code !== null; tries++) {
      expect(tries).toBeLessThan(10);
      let signals = 0;
      ({ code } = await tenon(
        ["train", "steady.json", "--steps", "1000000", "--out", `killed-${tries}`],
        (child, out) => {
          if (signals === 0 && /\nstep [2-9]/.test(out)) signals += Number(child.kill("SIGINT"));
          if (signals === 1 && /again/.test(out)) signals += Number(child.kill("SIGINT"));
        },
      ));
    }
  });
});

test("start trains on a text, and writes", async () => {
  writeFileSync(join(dir, "book.txt"), tales({ length: 8000 }));
  const { code, out, err } = await call("start --data book.txt --steps 2 --device cpu --json");
  expect(code).toBe(0);
  const result = JSON.parse(out);
  expect(result).toMatchObject({ steps: 2, entropy: null });
  expect(result.text).toHaveLength(600);
  expect(err).toMatch(/^Device: cpu.*\nA GPT with 2\d\d,\d{3} parameters that knows nothing yet reads book\.txt\.\n/);
  expect(err).toMatch(/loss in nats per character\n/);
  expect(err).toContain(result.text.replaceAll("\n", "\n\n").slice(0, 80));
  const { status } = JSON.parse(readFileSync(join(result.runDir, "manifest.json"), "utf8"));
  expect(status).toBe("done");
});
