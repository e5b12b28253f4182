/** A vitest reporter for `npm test`: leaves counts, skipped tests and the time of each file in `.cache/tests.json`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./install.mjs";

export const summaryFile = join(root, ".cache", "tests.json");

export default class SummaryReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const summary = { passed: 0, failed: unhandledErrors.length, skipped: 0, skips: [], files: [] };
    for (const file of modules) {
      const name = `${file.relativeModuleId} (${file.project.name})`;
      const { collectDuration, setupDuration, prepareDuration, duration } = file.diagnostic();
      summary.files.push({ name, seconds: (collectDuration + setupDuration + prepareDuration + duration) / 1000 });
      for (const test of file.children.allTests()) {
        const { state, note } = test.result();
        if (state === "skipped") summary.skips.push(`${name}: ${test.fullName}${note ? ` (${note})` : ""}`);
        summary[state === "passed" || state === "skipped" ? state : "failed"]++;
      }
      // An error outside of any test: at import, in a hook, at the end of the file.
      summary.failed += file.errors().length;
    }
    mkdirSync(join(root, ".cache"), { recursive: true });
    writeFileSync(summaryFile, JSON.stringify(summary));
  }
}
