/** What a command writes to, in tests: its lines are kept. */
import type { CommandIo, Io } from "../../src/cli/io.js";
import { jsonLine } from "../../src/core/json.js";

export function recordingIo(isTerminal = false) {
  const out: string[] = [];
  const err: string[] = [];
  const io: CommandIo & Pick<Io, "alone"> = {
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    json: (value) => void out.push(jsonLine(value)),
    alone: () => {},
    isTerminal,
    columns: 80,
  };
  return { io, out, err };
}
