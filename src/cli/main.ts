#!/usr/bin/env node
/** `tenon`: finds the command, runs it, and turns what it throws into one message and an exit code. */

import { nearest, TenonError } from "../core/errors.js";
import { VERSION } from "../core/version.js";
import { setWarningListener } from "../core/warnings.js";
import { ProgramError, UsageError } from "./arguments.js";
import { exitCode, type Io, readerLeft, standardIo, whenReaderLeaves } from "./io.js";
import { glossary } from "./layout.js";

/** Runs with the arguments after its name; resolves with the exit code. */
type Run = (args: string[], io: Io) => Promise<number>;

interface Command {
  /** One line for the list of commands. */
  readonly about: string;
  /** Loaded when called: `tenon doctor` must not wait for the training loop. */
  readonly load: () => Promise<{ run: Run }>;
}

/** Commands by name, in the order of the help. A name of two words is a command and its first operand. */
const commands: Readonly<Record<string, Command>> = {
  train: { about: "train a model from a config", load: () => import("./train.js") },
  generate: { about: "let a trained model write", load: () => import("./generate.js") },
  tokenize: { about: "how a tokenizer cuts a text, and how well it fits", load: () => import("./tokenize.js") },
  "tokenizer train": { about: "a tokenizer from texts", load: () => import("./tokenizer-train.js") },
  "data check": { about: "schema, counts and problems of a data file", load: () => import("./data-check.js") },
  runs: { about: "list, show, compare, verify, replay and carry runs", load: () => import("./runs.js") },
  run: { about: "a program from a clean state: twice gives the same bits", load: () => import("./run.js") },
  doctor: { about: "what this machine offers, and why anything is missing", load: () => import("./doctor.js") },
};

/** Not in the help: what `npm start` calls. */
const hidden: Readonly<Record<string, Command>> = {
  start: { about: "a minute from nothing to a model that writes", load: () => import("./start.js") },
};

function help(): string {
  return [
    "Usage: tenon <command> [options]",
    "",
    ...glossary(Object.entries(commands).map(([name, { about }]) => [name, about])),
    "",
    "tenon <command> --help says more; --debug shows where an error came from.",
  ].join("\n");
}

async function main(all: readonly string[], io: Io): Promise<number> {
  const end = all.indexOf("--") < 0 ? all.length : all.indexOf("--");
  const debug = all.slice(0, end).includes("--debug");
  const args = all.filter((arg, i) => arg !== "--debug" || i > end);
  const [first] = args;
  if (first === "--version" || first === "-v") {
    io.out(VERSION);
    return 0;
  }
  if (first === undefined || first === "--help" || first === "-h" || (first === "help" && args.length === 1)) {
    const toResult = first !== undefined;
    (toResult ? io.out : io.err)(help());
    return toResult ? 0 : 2;
  }
  if (first === "help") return main([...args.slice(1), "--help"], io);
  setWarningListener(({ message }) => io.err(`warning: ${message}`));
  const found = commandOf(args);
  if (typeof found === "string") {
    io.err(found);
    return 2;
  }
  const [name, rest, command] = found;
  try {
    const { run } = await command.load();
    return await run(rest, io);
  } catch (error) {
    if (error instanceof UsageError) {
      const { message, command = name } = error;
      io.err(`tenon ${command}: ${message}\n"tenon ${command} --help" lists what it takes.`);
      return 2;
    }
    io.err(debug ? stackOf(error) : messageOf(error));
    return 1;
  }
}

/** The command that the arguments name, its name and the arguments left; or what is wrong with them. */
function commandOf(args: readonly string[]): [name: string, rest: string[], command: Command] | string {
  const all = { ...commands, ...hidden };
  for (const words of [2, 1]) {
    const name = args.slice(0, words).join(" ");
    if (args.length >= words && Object.hasOwn(all, name)) return [name, args.slice(words), all[name]];
  }
  const given = args[0];
  const group = Object.keys(commands).filter((name) => name.startsWith(`${given} `));
  if (group.length > 0)
    return `tenon ${given}: needs another word: ${group.map((name) => `tenon ${name}`).join(", ")}.`;
  const near = nearest(
    given,
    Object.keys(commands).flatMap((name) => [name, name.split(" ")[0]]),
  );
  return `tenon: there is no command "${given}".${near ? ` Did you mean "${near}"?` : ""}\n"tenon --help" lists them.`;
}

/** Errors of ours and of the system say it in a sentence; anything else is a fault of the program and shows where. */
function messageOf(error: unknown): string {
  if (error instanceof TenonError || (error as NodeJS.ErrnoException)?.syscall) return (error as Error).message;
  if (error instanceof ProgramError) return stackOf(error.cause);
  return `${stackOf(error)}\nThis is a fault in tenon ${VERSION}, not in what you asked for.`;
}

const stackOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return `${error.stack}${cause === undefined ? "" : `\ncaused by: ${stackOf(cause)}`}`;
};

// A reader that leaves early (`tenon … | head`) is told nothing; a full disk behind `tenon … > file` is told in a sentence.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") return readerLeft();
    if (stream === process.stdout)
      process.stderr.write(`tenon: standard output cannot be written: ${error.message}.\n`);
    process.exit(1);
  });
}

const io = standardIo();
const code = await main(process.argv.slice(2), io);
whenReaderLeaves(() => {});
// What was written is out before the process ends; it ends even where a driver keeps the event loop busy.
await io.flush();
process.exit(exitCode(code));
