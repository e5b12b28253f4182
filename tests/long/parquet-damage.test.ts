import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { survives } from "../data/parquet-damage.js";
import { describeWithData } from "../data/shared.js";

for (const set of ["parquet/hyparquet", "parquet/parquet-wasm", "parquet/generated"]) {
  describeWithData(`random damage, ${set}`, set, (folder) => {
    const files = readdirSync(folder).filter((file) => file.endsWith(".parquet"));
    test.each(files)("%s", async (name) => {
      const whole = new Uint8Array(readFileSync(join(folder, name)));
      const rounds = whole.length > 200_000 ? 20 : 160;
      const refused = await survives(name, whole, rounds, "footer");
      expect(refused).toBeGreaterThan(0);
      await survives(name, whole, rounds, "anywhere");
    });
  });
}
