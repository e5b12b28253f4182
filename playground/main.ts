/** The page: reads its forms, asks the worker, shows what comes back. */
import type { Capabilities } from "tenon";
import {
  connect,
  type Reproduction,
  type TrainingConfigInput,
  type TrainingResult,
  type TrainingRun,
} from "tenon/runs";
import { asker } from "./asks.js";
import { byId, download, fieldsOf, onChoose, onClick, onDrop, say } from "./page.js";
import { type Curve, drawLoss } from "./plot.js";

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
const trainer = connect(worker);
const ask = await asker(worker).catch((error: Error) => {
  say("status", error.message, true);
  throw error;
});

const deviceNames: Record<string, string> = {
  cpu: "the CPU",
  webgpu: "WebGPU",
  reference: "the slow reference device",
};
const number = (value: number) => Math.round(value).toLocaleString("en");

// ── this machine ──────────────────────────────────────────────────────────────────────────────────────────────────

// `?adapter=software` takes a graphics card that a processor plays, too: for tests, and to see it work without one.
const software = new URLSearchParams(location.search).get("adapter") === "software";
const machine = await ask<Capabilities & { store: string; entropy: number }>("machine", { software });

function noteDevice(text: string): void {
  byId("device-note").textContent = text;
  byId("device-note").hidden = text === "";
}

function showMachine({ threads, simd, crossOriginIsolated, missing, devices, store }: typeof machine): void {
  const webgpu = devices.webgpu !== undefined;
  const card = webgpu ? `WebGPU: ${devices.webgpu!.details["adapter"]}` : "no WebGPU";
  const chips: [text: string, present: boolean][] = [
    [`${threads} ${threads === 1 ? "thread" : "threads"}`, true],
    [simd ? "SIMD" : "no SIMD", simd],
    [crossOriginIsolated ? "cross-origin isolated" : "not cross-origin isolated", crossOriginIsolated],
    [card, webgpu],
    [store.startsWith("opfs") ? "runs are kept" : "runs are kept until you leave", store.startsWith("opfs")],
  ];
  byId("chips").replaceChildren(
    ...chips.map(([text, present]) => {
      const chip = document.createElement("li");
      chip.textContent = text;
      chip.classList.toggle("absent", !present);
      return chip;
    }),
  );
  byId("learn").querySelector<HTMLOptionElement>('option[value="webgpu"]')!.disabled = !webgpu;
  const why = missing.find((reason) => reason.startsWith("webgpu: "))?.slice("webgpu: ".length);
  if (!webgpu) noteDevice(`WebGPU cannot be chosen: ${why ?? "no reason given"}.`);
  if (missing.length === 0) return;
  const details = byId("missing");
  details.hidden = false;
  details.querySelector("summary")!.textContent =
    missing.length === 1 ? "One thing is missing" : `${missing.length} things are missing`;
  details.querySelector("ul")!.replaceChildren(
    ...missing.map((reason) => {
      const item = document.createElement("li");
      item.textContent = reason;
      return item;
    }),
  );
}
showMachine(machine);

// ── learn ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const sizes: Record<string, { n_layer: number; n_head: number; n_embd: number }> = {
  tiny: { n_layer: 2, n_head: 2, n_embd: 32 },
  small: { n_layer: 3, n_head: 4, n_embd: 64 },
  baby: { n_layer: 4, n_head: 4, n_embd: 128 },
};

const learn = byId<HTMLFormElement>("learn");
const corpus = (value: string) => learn.querySelector<HTMLInputElement>(`[value="${value}"]`)!;
let text: File | undefined;
let run: TrainingRun | undefined;
let executionId: string | undefined;
let curve: Curve | undefined;
// The plot is drawn in pixels of the page: a window that changes gets another.
new ResizeObserver(() => curve && drawLoss(byId("plot"), curve)).observe(byId("plot"));

function takeText([file]: File[]): void {
  text = file;
  byId("file-name").textContent = `${file.name}, ${number(file.size / 1000)} kB`;
  corpus("file").checked = true;
}
onChoose(corpus("file"), byId<HTMLInputElement>("file"), takeText);
onDrop(learn.closest(".card")!, takeText);

function configOf(fields: Record<string, string>): TrainingConfigInput {
  const steps = Number(fields["steps"]);
  return {
    data: {
      ...(fields["corpus"] === "file" ? { text: text as File } : { corpus: "tales", length: 300_000 }),
      split: { train: 0.95, val: 0.05 },
    },
    model: { model_type: "gpt2", ...sizes[fields["size"]] },
    training: {
      steps,
      batchSize: 8,
      blockSize: 64,
      learningRate: 3e-3,
      dropout: Number(fields["dropout"]),
      evalEvery: Math.max(1, Math.floor(steps / 5)),
      sampleEvery: Math.max(1, Math.floor(steps / 5)),
      checkpointEvery: steps,
      sampleTokens: 120,
    },
    seed: Number(fields["seed"]),
    device: fields["device"] as "cpu" | "webgpu",
    numerics: "portable",
  };
}

learn.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = fieldsOf(learn);
  if (fields["corpus"] === "file" && !text) return say("status", "Choose a text first.", true);
  training(true);
  curve = { steps: [], losses: [], validations: [], total: Number(fields["steps"]) };
  if (fields["corpus"] === "tales") curve.bound = machine.entropy;
  drawLoss(byId("plot"), curve);
  try {
    const result = await trainSomewhere(configOf(fields), curve);
    executionId = result.executionId;
    byId("run-id").textContent = result.runId;
    byId("weights-hash").textContent = result.weightsHash;
    byId("copy").hidden = false;
    for (const id of ["archive", "manifest"]) byId<HTMLButtonElement>(id).disabled = false;
    const speed = Number.isFinite(result.tokensPerSecond) ? `, ${number(result.tokensPerSecond)} tokens/s` : "";
    say(
      "status",
      `${result.stopped ? "Stopped" : "Done"} after ${result.steps} steps: loss ${result.trainLoss.toFixed(3)}${speed}.`,
    );
    await opened(ask("openRun", { executionId }));
  } catch (error) {
    say("status", (error as Error).message, true);
  } finally {
    training(false);
  }
});
byId("stop").addEventListener("click", () => void run?.stop().catch(() => undefined));

function training(on: boolean): void {
  byId<HTMLButtonElement>("train").disabled = on;
  byId("stop").hidden = !on;
  if (on) say("status", "Starting …");
}

/** Where the graphics card fails, the CPU does it from the start, and the page says why. */
async function trainSomewhere(config: TrainingConfigInput, curve: Curve): Promise<TrainingResult> {
  const follow = async (device: TrainingConfigInput["device"]) => {
    run = trainer.train({ ...config, device });
    await watch(run, curve);
    return run;
  };
  if (config.device !== "webgpu") return follow(config.device);
  noteDevice("");
  try {
    return await follow("webgpu");
  } catch (error) {
    const { name, message, hint = "" } = error as Error & { hint?: string };
    if (name !== "DeviceError" && name !== "MemoryBudgetError") throw error;
    noteDevice(`WebGPU failed, so the CPU trained: ${message.replace(hint, "").trim()}`);
    Object.assign(curve, { steps: [], losses: [], validations: [] });
    return follow("cpu");
  }
}

/** Follows a run; draws at most once a frame. */
async function watch(run: TrainingRun, curve: Curve): Promise<void> {
  const progress = byId<HTMLProgressElement>("progress");
  let frame = 0;
  let line = "";
  const draw = () => {
    frame = 0;
    drawLoss(byId("plot"), curve);
    progress.value = curve.steps.length / curve.total;
    say("status", line);
  };
  for await (const event of run) {
    if (event.type === "step") {
      curve.steps.push(event.step);
      curve.losses.push(event.loss);
      const speed = event.tokensPerSecond === undefined ? "" : `, ${number(event.tokensPerSecond)} tokens/s`;
      line = `step ${event.step} of ${event.steps}: loss ${event.loss.toFixed(3)}${speed}`;
    } else if (event.type === "eval") {
      curve.validations.push({ step: event.step, loss: event.valLoss });
    } else if (event.type === "sample") {
      byId("sample").hidden = false;
      byId("sample").textContent = event.text.trim();
    } else continue;
    frame ||= requestAnimationFrame(draw);
  }
  cancelAnimationFrame(frame);
  draw();
}

// ── write ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const write = byId<HTMLFormElement>("write");
const writeButton = write.querySelector<HTMLButtonElement>("[type=submit]")!;

async function opened(model: Promise<{ parameters: number; vocabulary: number; device: string }>): Promise<void> {
  const { parameters, vocabulary, device } = await model;
  writeButton.disabled = false;
  byId("again").hidden = true;
  say(
    "write-status",
    `A model of ${number(parameters)} parameters and ${number(vocabulary)} tokens, on ${deviceNames[device]}.`,
  );
}

write.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { prompt, maxTokens, temperature, seed } = fieldsOf(write);
  const output = byId("text");
  const start = document.createElement("b");
  start.textContent = prompt;
  const rest = document.createTextNode("");
  output.replaceChildren(start, rest);
  output.hidden = false;
  writeButton.disabled = true;
  say("write-status", "Writing …");
  try {
    const options = { maxTokens: Number(maxTokens), temperature: Number(temperature), seed: Number(seed) };
    const { tokens } = await ask<{ tokens: number }>("write", { prompt, ...options }, (part: string) =>
      rest.appendData(part),
    );
    say("write-status", `${tokens} tokens with seed ${seed}.`);
    byId("again").hidden = false;
  } catch (error) {
    say("write-status", (error as Error).message, true);
  } finally {
    writeButton.disabled = false;
  }
});
onClick("again", "write-status", async () => {
  const { verdict, statement } = await ask<{ verdict: string; statement: string }>("again", {});
  say("write-status", statement, verdict !== "equal");
});

const open = (what: "openFiles" | "openUrl", given: { files: File[] } | { url: string }) => {
  say("write-status", "Opening …");
  opened(ask(what, given)).catch((error: Error) => say("write-status", error.message, true));
};
byId("checkpoint").addEventListener("submit", (event) => {
  event.preventDefault();
  const { url } = fieldsOf(byId<HTMLFormElement>("checkpoint"));
  if (url) open("openUrl", { url });
});
onChoose(byId("choose-files"), byId<HTMLInputElement>("files"), (files) => open("openFiles", { files }));
onDrop(write.closest(".card")!, (files) => open("openFiles", { files }));

// ── prove ─────────────────────────────────────────────────────────────────────────────────────────────────────────

onClick("copy", "verdict", async () => {
  await navigator.clipboard.writeText(byId("weights-hash").textContent!);
  byId("copy").textContent = "Copied";
});
for (const [id, suffix] of [
  ["archive", ".tar"],
  ["manifest", ".manifest.json"],
] as const) {
  onClick(id, "verdict", async () => {
    if (executionId) download(await ask<Blob>(id, { executionId }), `${executionId}${suffix}`);
  });
}

async function check(files: File[]): Promise<void> {
  say("verdict", "Reading …");
  try {
    const answer = await ask<Reproduction>("check", { files }, ({ step, steps }: { step: number; steps: number }) =>
      say("verdict", `Making the run again: step ${step} of ${steps} …`),
    );
    const hash = answer.got.weightsHash?.slice(0, 16);
    say("verdict", `${answer.statement} Here: ${hash}…`, answer.verdict === "differs");
  } catch (error) {
    say("verdict", (error as Error).message, true);
  }
}
onChoose(byId("choose-manifest"), byId<HTMLInputElement>("manifest-files"), check);
onDrop(byId("check"), check);
document.documentElement.dataset["ready"] = "true";
