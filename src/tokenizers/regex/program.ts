/** A parsed expression as a list of instructions (Thompson 1968; Cox, "Regular Expression Matching: the VM Approach"). */

import { FormatError, show } from "../../core/errors.js";
import { type CharacterSet, NEWLINE, WORD } from "./character-set.js";
import type { Assertion, Node } from "./parse.js";

export type Instruction =
  | { op: "set"; set: number }
  /** Try `first`, then `second`. */
  | { op: "split"; first: number; second: number }
  | { op: "jump"; to: number }
  | { op: "match" }
  | { op: "assert"; assertion: Assertion }
  /** The next or previous character is (or is not) in a set. */
  | { op: "lookSet"; set: number; behind: boolean; negated: boolean }
  | { op: "look"; program: number; negated: boolean; lengths?: [min: number, max: number] }
  | { op: "atomic"; program: number }
  | { op: "save"; slot: number }
  | { op: "reference"; index: number; ignoreCase: boolean }
  /** Notes where an iteration began; an iteration that consumed nothing leaves the loop. */
  | { op: "enter"; loop: number }
  | { op: "leaveIfEmpty"; loop: number; to: number };

export interface Program {
  /** The whole expression is code[0]; the others are bodies of lookarounds and atomic groups. */
  codes: Instruction[][];
  sets: CharacterSet[];
  loops: number;
  groups: number;
  /** Whether every instruction looks at one character on each side at most. */
  simple: boolean;
}

const MOST_INSTRUCTIONS = 60000;

export function compile(root: Node, pattern: string): Program {
  const program: Program = { codes: [[]], sets: [], loops: 0, groups: 0, simple: true };
  const setNumbers = new Map<string, number>();
  const setNumber = (set: CharacterSet): number => {
    let number = setNumbers.get(set.name);
    if (number === undefined) {
      number = program.sets.length;
      program.sets.push(set);
      setNumbers.set(set.name, number);
    }
    return number;
  };
  /** Instructions of all codes, and nodes that need none but are visited all the same. */
  let steps = 0;
  const count = () => {
    if (++steps <= MOST_INSTRUCTIONS) return;
    throw new FormatError(`regex ${show(pattern)}: unfolds to more than ${MOST_INSTRUCTIONS} steps.`, {
      where: "regex",
      pattern,
    });
  };
  const push = (code: Instruction[], instruction: Instruction) => {
    count();
    code.push(instruction);
  };
  const body = (node: Node): number => {
    const index = program.codes.length;
    program.codes.push([]);
    emit(node, program.codes[index]);
    program.codes[index].push({ op: "match" });
    return index;
  };

  const emit = (node: Node, code: Instruction[]): void => {
    switch (node.kind) {
      case "set":
        push(code, { op: "set", set: setNumber(node.set) });
        return;
      case "all":
        if (node.nodes.length === 0) count();
        for (const part of node.nodes) emit(part, code);
        return;
      case "any": {
        const jumps: { op: "jump"; to: number }[] = [];
        node.nodes.forEach((part, i) => {
          if (i === node.nodes.length - 1) {
            emit(part, code);
            return;
          }
          const split: Instruction = { op: "split", first: code.length + 1, second: 0 };
          push(code, split);
          emit(part, code);
          const jump = { op: "jump" as const, to: 0 };
          jumps.push(jump);
          push(code, jump);
          split.second = code.length;
        });
        for (const jump of jumps) jump.to = code.length;
        return;
      }
      case "repeat":
        emitRepeat(node, code);
        return;
      case "assert":
        if (node.assertion === "lineStart" || node.assertion === "lineEnd") setNumber(NEWLINE);
        if (node.assertion === "word" || node.assertion === "notWord") setNumber(WORD);
        if (node.assertion === "lastLine" || node.assertion === "searchStart") program.simple = false;
        push(code, { op: "assert", assertion: node.assertion });
        return;
      case "look": {
        if (node.node.kind === "set") {
          push(code, { op: "lookSet", set: setNumber(node.node.set), behind: node.behind, negated: node.negated });
          return;
        }
        program.simple = false;
        const lengths = node.behind ? lengthsOf(node.node) : undefined;
        if (lengths !== undefined && lengths[1] === Number.POSITIVE_INFINITY) {
          throw new FormatError(
            `regex ${show(pattern)}: looks behind over any number of characters, which is not supported.`,
            { where: "regex", pattern },
          );
        }
        push(code, { op: "look", program: body(node.node), negated: node.negated, lengths });
        return;
      }
      case "atomic": {
        const loop = node.node;
        if (loop.kind === "set") {
          emit(loop, code);
          return;
        }
        if (loop.kind === "repeat" && loop.node.kind === "set" && !loop.lazy) {
          // Greedy to the end: what follows is never one more character of the set.
          const { set } = loop.node;
          const stop: Node = { kind: "look", node: loop.node, behind: false, negated: true };
          if (loop.max === Number.POSITIVE_INFINITY) {
            emit(loop, code);
            emit(stop, code);
            return;
          }
          if (loop.min === 0 && loop.max === 1) {
            emit({ kind: "any", nodes: [{ kind: "set", set }, stop] }, code);
            return;
          }
        }
        program.simple = false;
        push(code, { op: "atomic", program: body(loop) });
        return;
      }
      case "group":
        program.groups = Math.max(program.groups, node.index);
        push(code, { op: "save", slot: 2 * node.index });
        emit(node.node, code);
        push(code, { op: "save", slot: 2 * node.index + 1 });
        return;
      case "reference":
        program.simple = false;
        program.groups = Math.max(program.groups, node.index);
        push(code, { op: "reference", index: node.index, ignoreCase: node.ignoreCase });
        return;
    }
  };

  const emitRepeat = ({ node, min, max, lazy }: Extract<Node, { kind: "repeat" }>, code: Instruction[]): void => {
    if (max === 0) count();
    for (let i = 0; i < min; i++) emit(node, code);
    const split = (target: number): { op: "split"; first: number; second: number } =>
      lazy ? { op: "split", first: 0, second: target } : { op: "split", first: target, second: 0 };
    const close = (choice: { first: number; second: number }, to: number) => {
      if (lazy) choice.first = to;
      else choice.second = to;
    };
    if (max === Number.POSITIVE_INFINITY) {
      const start = code.length;
      const choice = split(start + 1);
      push(code, choice);
      if (lengthsOf(node)[0] > 0) emit(node, code);
      else {
        // Which way an empty iteration leaves depends on where it began.
        program.simple = false;
        const loop = program.loops++;
        push(code, { op: "enter", loop });
        emit(node, code);
        const leave = { op: "leaveIfEmpty" as const, loop, to: 0 };
        push(code, leave);
        leave.to = code.length + 1;
      }
      push(code, { op: "jump", to: start });
      close(choice, code.length);
      return;
    }
    const choices = [];
    for (let i = min; i < max; i++) {
      const choice = split(code.length + 1);
      choices.push(choice);
      push(code, choice);
      emit(node, code);
    }
    for (const choice of choices) close(choice, code.length);
  };

  emit(root, program.codes[0]);
  program.codes[0].push({ op: "match" });
  return program;
}

/** Fewest and most characters that a node can consume. */
function lengthsOf(node: Node): [number, number] {
  switch (node.kind) {
    case "set":
      return [1, 1];
    case "all":
      return node.nodes.map(lengthsOf).reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
    case "any":
      return node.nodes
        .map(lengthsOf)
        .reduce(([a, b], [c, d]) => [Math.min(a, c), Math.max(b, d)], [Number.POSITIVE_INFINITY, 0]);
    case "repeat": {
      if (node.max === 0) return [0, 0];
      const [min, max] = lengthsOf(node.node);
      return [min * node.min, max === 0 ? 0 : max * node.max];
    }
    case "atomic":
    case "group":
      return lengthsOf(node.node);
    case "reference":
      return [0, Number.POSITIVE_INFINITY];
    default:
      return [0, 0];
  }
}
