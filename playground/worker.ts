/** The headless half: training, generation and checking, all in this worker. The page only shows. */
import {
  capabilities,
  type DeviceName,
  type GenerateOptions,
  type GenerationRecord,
  init,
  type LanguageModel,
  loadModel,
  replayGeneration,
} from "tenon";
import { bytesSource, parseManifest } from "tenon/artifacts";
import { talesEntropy } from "tenon/data";
import {
  exportRun,
  importRun,
  loadRun,
  MemoryStore,
  OpfsStore,
  type RunStore,
  reproduce,
  serveTraining,
} from "tenon/runs";
import type { Answer, Ask } from "./asks.js";

/** Private storage where there is any (not in every private window). */
async function openStore(): Promise<RunStore> {
  try {
    await navigator.storage.getDirectory();
    return new OpfsStore("runs");
  } catch {
    return new MemoryStore();
  }
}

const store = await openStore();
const clock = () => performance.now();
let model: LanguageModel | undefined;
let record: GenerationRecord | undefined;

function use(next: LanguageModel): { parameters: number; vocabulary: number; device: string } {
  model?.dispose();
  model = next;
  let parameters = 0;
  for (const { size } of next.parameters()) parameters += size;
  return { parameters, vocabulary: next.vocabSize, device: next.device };
}

async function archived(executionId: string): Promise<Blob> {
  const pieces: BlobPart[] = [];
  for await (const piece of exportRun(executionId, { store })) pieces.push(new Uint8Array(piece));
  return new Blob(pieces, { type: "application/x-tar" });
}

/** The archive of a run (`tenon runs export`, or the button of this page) as a run of this page's store. */
async function unpacked(archive: File): Promise<string> {
  const source = bytesSource(new Uint8Array(await archive.arrayBuffer()), archive.name);
  try {
    return await importRun(source, { store });
  } catch (error) {
    // Nothing is overwritten: a run that is here already is opened as it is.
    const executionId = archive.name.replace(/( ?\(\d+\))?\.tar$/, "");
    await loadRun(executionId, { store }).catch(() => Promise.reject(error));
    return executionId;
  }
}

/** What the page may ask for; `tell` sends a part of the answer ahead of the rest. */
const answers: { [K in keyof Ask]: (given: Ask[K], tell: (part: unknown) => void) => Promise<unknown> } = {
  async machine({ software }) {
    const auto = () => init({ device: "auto" });
    await (software ? init({ device: "webgpu" }).catch(auto) : auto());
    await init({ device: "cpu" }); // what the form starts with; a graphics card that was found stays open
    return { ...capabilities(), store: store.name, entropy: talesEntropy() };
  },

  async openRun({ executionId }) {
    const trained = await loadRun(executionId, { store });
    const checkpoint = await trained.latestCheckpoint();
    if (!checkpoint) throw new Error(`${executionId} has no checkpoint.`);
    const device = trained.manifest.device as DeviceName;
    return use(await loadModel({ store, folder: checkpoint.folder }, { device }));
  },
  async openFiles(given, tell) {
    const archive = given.files.find(({ name }) => name.endsWith(".tar"));
    if (archive) return answers.openRun({ executionId: await unpacked(archive) }, tell);
    return use((await loadModel(given.files)) as LanguageModel);
  },
  openUrl: async ({ url }) => use((await loadModel(url)) as LanguageModel),

  async write({ prompt, ...options }, tell) {
    if (!model) throw new Error("There is no model yet.");
    const start = prompt === "" ? "\n" : prompt;
    const stream = model.stream(start, options as GenerateOptions);
    for (;;) {
      const { done, value } = await stream.next();
      if (!done) tell(value.text);
      else {
        record = value.record;
        return { tokens: record.tokens.length };
      }
    }
  },
  async again() {
    if (!model || !record) throw new Error("Nothing has been written yet.");
    return replayGeneration(model, JSON.parse(JSON.stringify(record)));
  },

  archive: ({ executionId }) => archived(executionId),
  async manifest({ executionId }) {
    return new Blob([new Uint8Array(await store.read(`${executionId}/manifest.json`))], { type: "application/json" });
  },

  async check({ files }, tell) {
    let manifest: ReturnType<typeof parseManifest> | undefined;
    const data: File[] = [];
    for (const file of files) {
      if (file.name.endsWith(".json")) manifest = parseManifest(await file.text(), file.name);
      else data.push(file);
    }
    if (!manifest) throw new Error("A manifest.json is needed; it lies in the folder of every run.");
    return reproduce(manifest, {
      clock,
      ...(data.length > 0 ? { data } : {}),
      onEvent: (event) => event.type === "step" && tell({ step: event.step, steps: event.steps }),
    });
  },
};

// Reading the page's questions; training has a line of its own, kept apart by its mark.
addEventListener("message", async ({ data }: MessageEvent<{ ask?: keyof Ask; id: number; given: never }>) => {
  const { ask, id, given } = data;
  if (ask === undefined) return;
  const answer = (message: Omit<Answer, "id">) => postMessage({ id, ...message });
  try {
    answer({ value: await answers[ask](given, (part) => answer({ part })) });
  } catch (error) {
    answer({ problem: (error as Error).message });
  }
});
serveTraining(undefined, { store, clock });
postMessage({ ready: true });
