/** A folder that a model is saved in holds that model, whatever was saved there before. */
import * as t from "tenon";
import { MemoryStore } from "tenon/runs";
import { byteTokenizer, charTokenizer, loadTokenizer } from "tenon/tokenizers";
import { expect, test } from "vitest";

const target = () => ({ store: new MemoryStore(), folder: "m" });
type Target = ReturnType<typeof target>;

async function save(to: Target, tokenizer?: t.LanguageModel["tokenizer"]): Promise<void> {
  const model = await t.createModel({ model_type: "gpt2", n_layer: 1, n_head: 1, n_embd: 4, vocab_size: 256 });
  model.tokenizer = tokenizer;
  await model.save(to);
  model.dispose();
}

const names = async ({ store, folder }: Target) => (await store.list(folder)).map(({ name }) => name).sort();

async function load({ store, folder }: Target): Promise<t.LanguageModel> {
  const files: Record<string, Uint8Array> = {};
  for (const { name } of await store.list(folder)) files[name] = await store.read(`${folder}/${name}`);
  return t.loadModel(files);
}

const withTemplate = () => loadTokenizer(byteTokenizer().toJSON(), { config: { chat_template: "{{ messages }}" } });

test("what tokenizer_config.json said is saved with the model's tokenizer", async () => {
  const to = target();
  await save(to, await withTemplate());
  const model = await load(to);
  expect(model.tokenizer!.extras.chatTemplate).toBe("{{ messages }}");
  model.dispose();
});

test("a model without a tokenizer does not inherit that of a model saved there before", async () => {
  const to = target();
  await save(to, await withTemplate());
  await save(to);
  expect(await names(to)).toEqual(["config.json", "generation_config.json", "manifest.json", "model.safetensors"]);
  const model = await load(to);
  expect(model.tokenizer).toBeUndefined();
  model.dispose();
});

test("another tokenizer does not inherit the config of the one before, the same one keeps it", async () => {
  const to = target();
  await save(to, await withTemplate());
  await save(to, byteTokenizer());
  expect(await names(to)).toContain("tokenizer_config.json");
  await save(to, charTokenizer("ab"));
  expect(await names(to)).not.toContain("tokenizer_config.json");
});

test("a tokenizer that was put beside the model in another way stays", async () => {
  const to = target();
  await charTokenizer("ab").save(to);
  await save(to);
  await save(to);
  expect(await names(to)).toContain("tokenizer.json");
  // One that took the place of the saved model's is not that model's either.
  await save(to, byteTokenizer());
  await charTokenizer("ab").save(to);
  await save(to);
  const model = await load(to);
  expect(model.tokenizer!.hash).toBe(charTokenizer("ab").hash);
  model.dispose();
});

test("an end of text in generation_config.json that is no token is refused by file and field", async () => {
  const to = target();
  await save(to);
  const write = ({ store, folder }: Target, json: string) =>
    store.write(`${folder}/generation_config.json`, new TextEncoder().encode(json));
  for (const [eos, shown] of [
    ['"x"', '"x"'],
    ["1.5", "1.5"],
    ['[1, "x"]', '[1, "x"]'],
  ]) {
    await write(to, `{ "eos_token_id": ${eos} }`);
    await expect(load(to)).rejects.toThrow(
      `/generation_config.json: needs a token id or null for eos_token_id, got ${shown}.`,
    );
  }
  await write(to, '{ "eos_token_id": [1, 2], "temperature": "hot" }');
  const model = await load(to);
  expect(model.generationConfig).toEqual({ eos_token_id: [1, 2], temperature: "hot" });
  model.dispose();
});
