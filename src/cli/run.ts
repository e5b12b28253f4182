/** `tenon run file.js`: a program of one's own from a clean state, so that twice gives the same bits. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError, TenonError } from "../core/errors.js";
import { jsonLine } from "../core/json.js";
import { setProgram } from "../node/code.js";
import "../node/platform.js";
import { run as runClean } from "../tensor/run.js";
import { helpOf, ProgramError, parse, usage } from "./arguments.js";
import type { CommandIo } from "./io.js";

const table = usage({
  name: "run",
  operands: "<file.js>",
  count: [1, 1],
  about:
    "Runs a module with all random streams at their start. Its default export, when it is a function, is called (and\n" +
    "awaited), and what it returns is shown.",
  options: {
    seed: { kind: { integer: [0, Number.MAX_SAFE_INTEGER] }, help: "of the default generator; 0 unless told" },
    device: { kind: ["auto", "cpu", "webgpu", "reference"], help: "cpu unless told" },
    numerics: { kind: ["portable", "fast"], help: "portable unless told" },
    deterministic: { kind: ["true", "warn", "false"], help: "what cannot give equal bits is refused, told or let be" },
  },
});

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, operands } = parse(table, args);
  if (values.help) {
    io.out(helpOf(table));
    return 0;
  }
  const path = resolve(operands[0]);
  if (!existsSync(path)) {
    throw new ConfigError(`${operands[0]}: cannot be run, no such file.`, { where: operands[0] });
  }
  setProgram(path);
  const result = await runClean(
    async () => {
      try {
        const module = await import(pathToFileURL(path).href);
        return typeof module.default === "function" ? await module.default() : undefined;
      } catch (error) {
        throw error instanceof TenonError ? error : new ProgramError(error);
      }
    },
    {
      seed: values.seed,
      device: values.device as "cpu" | undefined,
      numerics: values.numerics as "portable" | undefined,
      deterministic:
        values.deterministic === undefined ? undefined : JSON.parse(values.deterministic.replace("warn", '"warn"')),
    },
  );
  if (values.json) io.out(jsonLine({ file: operands[0], result: result ?? null }));
  else if (result !== undefined) io.out(typeof result === "string" ? result : jsonLine(result));
  return 0;
}
