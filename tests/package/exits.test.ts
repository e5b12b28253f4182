/** A program that has used the thread pool ends when its own work is done. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { builtDist } from "../setup/dist.js";

test("idle worker threads do not keep a process alive", async () => {
  const entry = pathToFileURL(join(await builtDist(), "node", "tenon.js")).href;
  const program = `import { init, ones } from ${JSON.stringify(entry)};
    const { threads } = await init({ device: "cpu", threads: 2 });
    console.log(threads, await ones([300, 300]).matmul(ones([300, 300])).sum().item());`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program], {
    timeout: 20_000, // killed, and the promise rejected, when it hangs
  });
  expect(stdout.trim()).toBe(`2 ${300 ** 3}`);
});
