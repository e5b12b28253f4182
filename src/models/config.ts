/** Model configs: the fields of a Hugging Face `config.json` that a family uses, checked; the rest is kept as it is. */

import { ConfigError, oneWordOf, show } from "../core/errors.js";
import { isFraction } from "../core/options.js";

export interface Fields {
  model_type: string;
  [field: string]: unknown;
}

/** One field: its default, and what it must be. */
export interface Field {
  readonly default: unknown;
  readonly expected: string;
  check(value: unknown): boolean;
}

const make = (fallback: unknown, expected: string, check: (value: unknown) => boolean): Field => ({
  default: fallback,
  expected,
  check,
});
const whole = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;

/** Kinds of fields. */
export const field = {
  size: (fallback: number) => make(fallback, "a whole number above 0", whole),
  /** How many of something that takes room before any tensor is made. */
  count: (fallback: number, most: number) =>
    make(fallback, `a whole number from 1 to ${most}`, (value) => whole(value) && (value as number) <= most),
  optionalSize: () => make(null, "a whole number above 0 or null", (value) => value === null || whole(value)),
  number: (fallback: number) =>
    make(fallback, "a number from 0 up", (value) => Number.isFinite(value) && (value as number) >= 0),
  sizes: (fallback: readonly number[]) =>
    make(fallback, "a list of whole numbers above 0", (value) => Array.isArray(value) && value.every(whole)),
  /** A probability below 1, such as that of dropout. */
  fraction: (fallback: number) => make(fallback, "a number from 0 up to but without 1", isFraction),
  boolean: (fallback: boolean) => make(fallback, "true or false", (value) => typeof value === "boolean"),
  oneOf: (values: readonly string[]) => make(values[0], oneWordOf(values), (value) => values.includes(value as string)),
  /** A token id, several of them, or none. */
  optionalToken: () =>
    make(
      null,
      "a token id or null",
      (value) =>
        value === null || Number.isSafeInteger(value) || (Array.isArray(value) && value.every(Number.isSafeInteger)),
    ),
};

/** Activations of hidden layers that configs may name. */
export const activationNames = ["relu", "gelu", "silu", "tanh", "sigmoid"] as const;
export type ActivationName = (typeof activationNames)[number];

/** The fields of a family with defaults for those not given; other fields are kept, so that a file is saved as it came. */
export function readConfig(family: string, fields: Readonly<Record<string, Field>>, given: object): Fields {
  const config: Record<string, unknown> = { ...given, model_type: family };
  for (const [name, field] of Object.entries(fields)) config[name] = readField(family, name, field, config[name]);
  return config as Fields;
}

/** The value of one field, or its default; `where` is the family or the file. */
export function readField(where: string, name: string, { default: fallback, expected, check }: Field, given: unknown) {
  const value = given ?? fallback;
  if (check(value)) return value;
  throw new ConfigError(`${where}: needs ${expected} for ${name}, got ${show(value)}.`, { where, field: name });
}
