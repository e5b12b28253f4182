import { expect, test } from "vitest";
import { readFixture, readJson } from "../setup/fixture.js";

test("fixtures are read byte for byte, text and binary, and a missing one is an error", async () => {
  const folder = "hf/llama-bf16-sharded";
  const index = await readJson<{ weight_map: object }>(`${folder}/model.safetensors.index.json`);
  expect(Object.keys(index.weight_map).length).toBeGreaterThan(5);

  const bytes = await readFixture(`${folder}/model-00001-of-00005.safetensors`);
  const header = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  expect(() => JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + header)))).not.toThrow();

  await expect(readFixture("hf/absent.bin")).rejects.toThrow();
});
