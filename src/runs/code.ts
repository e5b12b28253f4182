/**
 * What names the code of a run that is more than its config: a version that the caller gives, or the git commit and
 * whether the tree held changes besides it. What has no name makes the run's ID provisional.
 */

import type { RunManifest } from "../artifacts/manifest.js";
import { refuseOption } from "../core/options.js";
import { platform } from "../core/platform.js";

type Code = NonNullable<RunManifest["code"]>;

/** The code of a run started from code, and why its identity is provisional where it is. */
export async function codeOf(where: string, codeVersion?: string): Promise<{ code: Code; provisional?: string }> {
  if (codeVersion !== undefined && (typeof codeVersion !== "string" || codeVersion === ""))
    refuseOption(where, "codeVersion", "a text that is not empty", codeVersion);
  if (codeVersion !== undefined) return { code: { version: codeVersion } };
  const state = (await platform().codeState?.()) ?? { reason: "this host knows no repository" };
  if ("reason" in state) {
    const { reason } = state;
    return {
      code: { commit: null, reason },
      provisional: `the code of the run has no version (codeVersion) and no commit: ${reason}`,
    };
  }
  if (!state.dirty) return { code: state };
  return { code: state, provisional: `the code of the run has changes that commit ${state.commit} does not hold` };
}

/** The part that code has in a run's fingerprint: nothing for runs of configs and for code without a name. */
export function codeName(code: Code | undefined): string | null {
  if (code?.version !== undefined) return code.version;
  return code?.commit ? `${code.commit}${code.dirty ? "-dirty" : ""}` : null;
}
