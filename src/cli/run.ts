/** `tenon run file.js`: a program of one's own from a clean state, so that twice gives the same bits. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { deviceChoices, numericsChoices } from "../backend/devices.js";
import { ConfigError, TenonError } from "../core/errors.js";
import { jsonLine } from "../core/json.js";
import { setProgram } from "../node/code.js";
import "../node/platform.js";
import { runsAtWork } from "../runs/events.js";
import { run as runClean } from "../tensor/run.js";
import { ProgramError, usage, withArguments } from "./arguments.js";
import type { CommandIo, Io } from "./io.js";
import { isFolder } from "./locate.js";

const table = usage({
  name: "run",
  operands: "<file.js>",
  count: [1, 1],
  about:
    "Runs a module with all random streams at their start. Its default export, when it is a function, is called (and " +
    "awaited), and what it returns is shown. With --json, what the program prints goes to standard error.",
  options: {
    seed: { kind: { integer: [0, Number.MAX_SAFE_INTEGER] }, help: "of the default generator; 0 unless told" },
    device: { kind: deviceChoices, help: "cpu unless told" },
    numerics: { kind: numericsChoices, help: "portable unless told" },
    deterministic: { kind: ["true", "warn", "false"], help: "what cannot give equal bits is refused, told or let be" },
  },
});

export const run = withArguments(table, async ({ values, operands }, io: CommandIo & Pick<Io, "alone">) => {
  const [file] = operands;
  const path = resolve(file);
  if (!existsSync(path)) throw new ConfigError(`${file}: cannot be run, no such file.`, { where: file });
  if (isFolder(path))
    throw new ConfigError(`${file}: is a folder, the file of a program was expected.`, { where: file });
  setProgram(path);
  if (values.json) io.alone();
  const result = await runClean(
    async () => {
      try {
        const module = await import(pathToFileURL(path).href);
        return typeof module.default === "function" ? await module.default() : undefined;
      } catch (error) {
        throw error instanceof TenonError ? error : (notCommonJs(error, file) ?? new ProgramError(error));
      }
    },
    {
      seed: values.seed,
      device: values.device,
      numerics: values.numerics,
      deterministic:
        values.deterministic === undefined ? undefined : JSON.parse(values.deterministic.replace("warn", '"warn"')),
    },
  );
  if (runsAtWork() > 0) {
    throw new ConfigError(`${file}: ended before a training run that it started, which ends with it.`, {
      where: file,
      hint: "Await the run: await train(…).",
    });
  }
  refuseOther(file, result, "what it returned");
  if (values.json) io.json({ file, result: result ?? null });
  else if (result !== undefined) io.out(typeof result === "string" ? result : jsonLine(result));
  return 0;
});

/** What to do where Node's loader of CommonJS met an ES module: its own error shows only the line. */
function notCommonJs(error: unknown, file: string): ConfigError | undefined {
  const { message = "", stack = "" } = error instanceof SyntaxError ? error : {};
  if (!/modules\/cjs\//.test(stack) || !/import statement|'export'|import\.meta/.test(message)) return undefined;
  // The first line is the place, of this file or of one that it imports.
  const [place] = /^.+:\d+$/m.exec(stack.split("\n")[0]) ?? [file];
  return new ConfigError(`${place}: needs CommonJS by its name or package.json, got an ES module: ${message}.`, {
    where: file,
    hint: 'Name it .mjs, or write "type": "module" into that package.json.',
    cause: error,
  });
}

/** Refuses what JSON has no word for, some of which it would leave out without one. `above` holds what `value` is in. */
function refuseOther(file: string, value: unknown, at: string, above: readonly unknown[] = []): void {
  const refuse = (what: string): never => {
    throw new ConfigError(`${file}: needs to return what JSON can hold, got ${what}: ${at}.`, {
      where: file,
      hint: "Numbers, texts, lists and plain objects: Number(big), await tensor.toArray().",
    });
  };
  if (["bigint", "function", "symbol"].includes(typeof value)) refuse(`a ${typeof value}`);
  if (typeof value !== "object" || value === null || "toJSON" in value || ArrayBuffer.isView(value)) return;
  if (above.includes(value)) refuse("an object within itself");
  for (const [key, item] of Object.entries(value)) refuseOther(file, item, `${at}.${key}`, [...above, value]);
}
