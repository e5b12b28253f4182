/** What git says of the code that runs: its commit, and whether there are changes besides. */

import { execFile } from "node:child_process";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { CodeState } from "../core/platform.js";

const execute = promisify(execFile);

let program: string | undefined;

/** Names the file whose code runs (`tenon run file.js`); else the current folder tells. */
export function setProgram(path: string | undefined): void {
  program = path;
}

/** Asks git, which touches nothing: no lock, no hooks. Files that git does not follow count only when one is the program. */
export async function codeState(): Promise<CodeState> {
  const git = async (...args: string[]): Promise<string> => {
    const options = ["--no-optional-locks", "-c", "core.fsmonitor=false", ...args];
    const cwd = program === undefined ? undefined : dirname(program);
    return (await execute("git", options, { timeout: 10_000, ...(cwd ? { cwd } : {}) })).stdout.trim();
  };
  try {
    const described = await git("describe", "--always", "--dirty", "--abbrev=64", "--exclude=*");
    const commit = described.replace(/-dirty$/, "");
    const followed = program === undefined || (await git("ls-files", "--", program)) !== "";
    return { commit, dirty: described !== commit || !followed };
  } catch (error) {
    return { reason: reasonOf(error as NodeJS.ErrnoException & { stderr?: string; killed?: boolean }) };
  }
}

function reasonOf({
  code,
  stderr = "",
  killed,
  message,
}: NodeJS.ErrnoException & { stderr?: string; killed?: boolean }) {
  if (code === "ENOENT") return "git is not installed";
  if (killed) return "git did not answer within ten seconds";
  if (/not a git repository/.test(stderr)) return "there is no git repository";
  return (
    stderr
      .trim()
      .split("\n")[0]
      .replace(/^fatal: /, "") || message
  );
}
