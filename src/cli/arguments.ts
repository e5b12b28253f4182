/** Arguments of commands: one table per command gives its options, their checks, and its help. */

import { parseArgs } from "node:util";
import { listOf, nearest } from "../core/errors.js";
import type { CommandIo } from "./io.js";
import { glossary, prose } from "./layout.js";

/** A wrong call: the exit code is 2, and the message is followed by where help is. */
export class UsageError extends Error {
  /** The command whose help tells more, as it is typed after `tenon`; the one that was called unless told. */
  command?: string;
}

/** What a program of the user's threw, as its cause: no fault of ours, and told with the place in their code. */
export class ProgramError extends Error {
  constructor(cause: unknown) {
    super("the program threw", { cause });
  }
}

/** What an option takes: nothing, a text, texts (it may be repeated), a number (within limits), or one of some words. */
export type OptionKind =
  | "flag"
  | "text"
  | "texts"
  | { readonly integer: readonly [least: number, most: number] }
  | { readonly number: readonly [least: number, most: number] }
  | { readonly bytes: true }
  | readonly string[];

export interface Option {
  readonly kind: OptionKind;
  /** What the help calls its value; `N`, `TEXT` or the words unless told. */
  readonly value?: string;
  readonly help: string;
}

export interface Usage {
  /** As it is typed after `tenon`. */
  readonly name: string;
  /** How the operands are written: `<config.json>`. */
  readonly operands: string;
  readonly count: readonly [least: number, most: number];
  /** What it does, in sentences. */
  readonly about: string;
  readonly options: Readonly<Record<string, Option>>;
}

type ValueOf<K> = K extends "flag"
  ? boolean
  : K extends { readonly integer: unknown } | { readonly number: unknown } | { readonly bytes: true }
    ? number | undefined
    : K extends "texts"
      ? readonly string[]
      : K extends readonly (infer Word)[]
        ? Word | undefined
        : string | undefined;

export type Values<U extends Usage> = { [N in keyof U["options"]]: ValueOf<U["options"][N]["kind"]> };

/** Options that every command has; `--debug` is taken before the command sees its arguments. */
const common = {
  json: { kind: "flag", help: "the last line of standard output is one JSON object, and the only one" },
  help: { kind: "flag", help: "show this" },
} as const satisfies Record<string, Option>;

/** Keeps the literal types of a table. */
export const usage = <const U extends Usage>(table: U): U => table;

export interface Parsed<U extends Usage> {
  readonly values: Values<U> & { readonly json: boolean; readonly help: boolean };
  readonly operands: string[];
}

/** A command by its table: `--help` shows it, else its arguments are worked with. Resolves with the exit code. */
export const withArguments =
  <U extends Usage, I extends Pick<CommandIo, "out">>(table: U, work: (given: Parsed<U>, io: I) => Promise<number>) =>
  async (args: readonly string[], io: I): Promise<number> => {
    const given = parse(table, args);
    if (!given.values.help) return work(given, io);
    io.out(helpOf(table));
    return 0;
  };

/** Reads arguments by a command's table. Throws UsageError. With `--help`, operands are not counted. */
export function parse<U extends Usage>(table: U, args: readonly string[]): Parsed<U> {
  try {
    return read(table, args);
  } catch (error) {
    if (error instanceof UsageError) error.command = table.name;
    throw error;
  }
}

function read<U extends Usage>(table: U, args: readonly string[]): Parsed<U> {
  const options: Record<string, Option> = { ...table.options, ...common };
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(options).map(([name, { kind }]) => [
        name,
        { type: kind === "flag" ? "boolean" : "string", ...(name === "help" ? { short: "h" } : {}) },
      ]),
    ),
  });
  const values: Record<string, unknown> = {};
  for (const [name, { kind }] of Object.entries(options)) {
    if (kind === "flag") values[name] = false;
    if (kind === "texts") values[name] = [];
  }
  const operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") operands.push(token.value);
    if (token.kind !== "option") continue;
    if (!Object.hasOwn(options, token.name)) throw unknownOption(token.rawName, options);
    const { kind } = options[token.name];
    const value = readValue(token.rawName, kind, token.value, token.inlineValue === true);
    if (kind === "texts") (values[token.name] as unknown[]).push(value);
    else values[token.name] = value;
  }
  const [least, most] = table.count;
  if (!values.help && (operands.length < least || operands.length > most)) {
    const needed = most === 0 ? "takes no operands" : `needs ${table.operands}`;
    throw new UsageError(`${needed}, got ${operands.length === 0 ? "nothing" : operands.join(" ")}.`);
  }
  return { values: values as Parsed<U>["values"], operands };
}

function unknownOption(name: string, options: Record<string, Option>): UsageError {
  const near = nearest(name.replace(/^-+/, ""), Object.keys(options));
  return new UsageError(`there is no option ${name}.${near ? ` Did you mean --${near}?` : ""}`);
}

function readValue(name: string, kind: OptionKind, given: string | undefined, inline: boolean): unknown {
  if (kind === "flag") {
    if (inline) throw new UsageError(`${name} takes no value, got ${given}.`);
    return true;
  }
  const isText = kind === "text" || kind === "texts";
  // An option in the place of a value was not meant as one.
  if (given === undefined || (!inline && given.startsWith("--"))) {
    const how = given !== undefined && isText ? ` If ${given} is it, write ${name}=${given}.` : "";
    throw new UsageError(`${name} needs a value.${how}`);
  }
  if (isText) return given;
  if (Array.isArray(kind)) {
    if (kind.includes(given)) return given;
    const whole = given.length > 2 ? kind.find((word) => word.includes(given.toLowerCase())) : undefined; // gpu: webgpu
    const near = whole ?? nearest(given, kind);
    throw new UsageError(`${name} needs ${listOf(kind, "or")}, got ${given}.${near ? ` Did you mean ${near}?` : ""}`);
  }
  if ("bytes" in kind) return bytesOf(name, given);
  const whole = "integer" in kind;
  const [least, most] = whole ? kind.integer : (kind as { number: readonly [number, number] }).number;
  const number = given.trim() === "" ? Number.NaN : Number(given);
  if ((whole ? Number.isSafeInteger(number) : Number.isFinite(number)) && number >= least && number <= most) {
    return number;
  }
  const range = most >= Number.MAX_SAFE_INTEGER ? `from ${least} up` : `from ${least} to ${most}`;
  throw new UsageError(`${name} needs ${whole ? "an integer" : "a number"} ${range}, got ${given || "nothing"}.`);
}

/** `500MB`, `1.5GB`, `2GiB`, or a count of bytes. */
function bytesOf(name: string, given: string): number {
  const units: Record<string, number> = { k: 1e3, m: 1e6, g: 1e9, ki: 2 ** 10, mi: 2 ** 20, gi: 2 ** 30 };
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmg]i?)?b)?$/i.exec(given.trim());
  const bytes = match ? Math.floor(Number(match[1]) * (match[2] ? units[match[2].toLowerCase()] : 1)) : 0;
  if (bytes > 0) return bytes;
  throw new UsageError(`${name} needs a size such as 500MB or 2GiB, got ${given}.`);
}

/** The help of a command, made of its table. */
export function helpOf({ name, operands, about, options }: Usage): string {
  const rows = Object.entries({ ...options, ...common }).map(
    ([option, { kind, value, help }]: [string, Option]) =>
      [`--${option}${kind === "flag" ? "" : ` ${value ?? wordFor(kind)}`}`, help] as const,
  );
  return [
    `Usage: tenon ${[name, operands].filter(Boolean).join(" ")} [options]`,
    "",
    ...prose(about),
    "",
    ...glossary(rows),
  ].join("\n");
}

function wordFor(kind: OptionKind): string {
  if (Array.isArray(kind)) return kind.join("|");
  return kind === "text" || kind === "texts" ? "TEXT" : (kind as { bytes?: true }).bytes ? "SIZE" : "N";
}
