/** The graphics card in a page: the table of operations, training beside the CPU, and why there is none. */

import * as t from "tenon";
import { createModel } from "tenon/models";
import { expect, test } from "vitest";
import { testFixtures } from "../ops/fixture-table.js";

declare const __ISOLATED__: boolean;

const open = async () => void (await t.init({ device: "webgpu" }));

// The same shaders run in both pages; the whole table in one of them is enough.
if (__ISOLATED__) testFixtures([{ name: "webgpu", device: "webgpu", slack: 10, open }]);

test("a GPT learns the same on the graphics card and on the CPU", async () => {
  await open();
  const config = {
    ...{ model_type: "gpt2", vocab_size: 65, n_positions: 16, n_layer: 1, n_head: 2, n_embd: 16 },
    ...{ embd_pdrop: 0, attn_pdrop: 0, resid_pdrop: 0 },
  };
  const ids = [[1, 2, 3, 4, 5, 6, 7, 8]];
  const losses: number[][] = [];
  for (const device of ["cpu", "webgpu"] as const) {
    const model = await createModel(config, undefined, { seed: 3, device });
    const own: number[] = [];
    for (let step = 0; step < 5; step++)
      own.push((await model.trainStep({ ids }, { learningRate: 1e-2, clipNorm: 1 })).loss);
    losses.push(own);
    model.dispose();
  }
  expect(losses[1].at(-1)!).toBeLessThan(losses[1][0]);
  for (const [i, loss] of losses[0].entries()) expect(Math.abs(loss - losses[1][i])).toBeLessThan(1e-4);
});

test("auto passes a software adapter by, and says so", async () => {
  const caps = await t.init({ device: "auto" });
  if (caps.device !== "webgpu") expect(caps.reason).toMatch(/no WebGPU graphics card \(.+\); the CPU is used/);
});
