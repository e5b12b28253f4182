/** Going on with a run: the config that it was started with, and what may be given in its place. */

import { plainObject } from "../artifacts/schema.js";
import { ConfigError, RunError } from "../core/errors.js";
import { type Difference, differences } from "./compare.js";
import { isTokenizerPlace, resolveConfig, type TrainingConfigInput } from "./config.js";
import { DATA_KINDS } from "./data-config.js";
import { mapPlaces, notReadAgain } from "./stored-data.js";

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What is told in `given` in place of what was. */
const over = (was: unknown, given: unknown): unknown =>
  isFields(was) && isFields(given)
    ? { ...was, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }
    : given;

/** The `data` of a run with those given over them: another source takes the place of the one that was. */
function dataOver(was: Fields, given: unknown): unknown {
  if (!isFields(given)) return given;
  const named = DATA_KINDS.some((kind) => given[kind] !== undefined);
  const rest = Object.entries(was).filter(([key]) => !named || !(DATA_KINDS as readonly string[]).includes(key));
  return notReadAgain(was, over(Object.fromEntries(rest), given) as Fields);
}

/**
 * The config of a run to go on with. What is given in code takes the place of what `config.json` says, and must come to
 * the same: places may be others, and so may a device, since content and device are compared with the manifest's; threads,
 * memory and folder take no part. Throws RunError naming what differs.
 */
export async function resumedConfig(
  run: string,
  saved: TrainingConfigInput,
  given: unknown,
  where = "config",
): Promise<TrainingConfigInput> {
  if (given === undefined) return saved;
  const told = plainObject(given, { where, path: "", errorType: ConfigError }, "an object");
  const input = over(saved, told) as Record<string, unknown>;
  for (const key of ["model", "training"] as const) {
    if (told[key] !== undefined) input[key] = over(saved[key], told[key]);
  }
  if (told["data"] !== undefined) input["data"] = dataOver(Object(saved.data), told["data"]);
  const changes = differences([await compared(saved, where), await compared(input, where)]);
  if (changes.length === 0) return input as TrainingConfigInput;
  // Not what follows from it, such as a warm-up of fewer steps.
  const isTold = ({ path }: Difference) => {
    const [section, field] = path.split(".");
    const value = told[section];
    return (isFields(value) ? value[field] : value) !== undefined;
  };
  const named = changes.filter(isTold);
  throw configChanged(run, named.length > 0 ? named : changes);
}

/** What of a config must stay as it was. */
async function compared(config: object, where: string): Promise<Fields> {
  const { data: given } = config as { data?: unknown };
  const resolved = resolveConfig({ ...config, data: await mapPlaces(given, () => "…") }, where);
  const { out, threads, memoryBudget, device, numerics, data, tokenizer, ...rest } = resolved;
  return {
    ...rest,
    // One place or several: the content is what counts.
    data: Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, [value].flat()[0] === "…" ? "…" : value]),
    ),
    tokenizer: isTokenizerPlace(tokenizer) ? "…" : tokenizer,
  };
}

/** The error of a run whose config is not what it was. */
export function configChanged(where: string, changes: readonly Difference[]): RunError {
  const text = (value: unknown) => JSON.stringify(value) ?? "nothing";
  const told = changes.map(({ path, values: [then, now] }) => `${path} was ${text(then)}, is ${text(now)}`);
  return new RunError(`${where}: cannot go on, its config changed: ${told.join("; ")}.`, {
    where,
    hint: "Give it as it was, or start a new run.",
  });
}
