/** `npm run test:adapters` with a filter that leaves no test: it says so, and fails. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { browserLaunch } from "../../scripts/browser.mjs";

const program = fileURLToPath(new URL("../../scripts/adapters.mjs", import.meta.url));

// Whatever the driver is: no test asks for it.
test.skipIf(!browserLaunch())(
  "no test matches: no engine has passed, and the exit code tells",
  () => {
    const { status, stdout } = spawnSync(process.execPath, [program, "--offline", "no-such-test"], {
      encoding: "utf8",
      env: { ...process.env, VK_DRIVER_FILES: "some-driver.json" },
    });
    expect(stdout).toMatch(/^deno: left out/m);
    expect(stdout).toMatch(/^lavapipe: no test matches no-such-test$/m);
    expect(stdout).not.toMatch(/: passed$/m);
    expect(status).toBe(1);
  },
  60_000,
);
