/** Chat templates of the families, through @huggingface/jinja. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyChatTemplate, byteTokenizer, type ChatMessage, loadTokenizer, type Tokenizer } from "tenon/tokenizers";
import { describe, expect, test } from "vitest";
import { data, hasData } from "./data.js";

const messages: ChatMessage[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: " Hi! " },
  { role: "assistant", content: "Hello." },
  { role: "user", content: "Bye" },
];

const with_ = (config: Record<string, unknown>): Promise<Tokenizer> =>
  loadTokenizer(byteTokenizer().toJSON(), { config });

/** Each in the manner of a family: the constructs that its published templates use. */
const families: [string, string, Record<string, unknown>, string][] = [
  [
    "ChatML (Qwen, SmolLM): loops, prompt",
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message.content + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    {},
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi! <|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
  ],
  [
    "Llama 2, Mistral: special tokens, slices, loop.index0, set in a loop, refusals",
    "{% if messages[0]['role'] == 'system' %}{% set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}{{ bos_token }}{% for message in turns %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + (system if loop.first else '') + message['content'].strip() + ' [/INST]' }}{% else %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}",
    { bos_token: { content: "<s>" }, eos_token: "</s>" },
    "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi! [/INST] Hello. </s>[INST] Bye [/INST]",
  ],
  [
    "Llama 3: set, filters, loop.first",
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    { bos_token: "<|begin_of_text|>" },
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi!<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
  ],
  [
    "Gemma: renamed roles, namespace, whitespace control",
    "{{ bos_token }}\n{%- set state = namespace(turns=0) -%}\n{%- for message in messages if message.role != 'system' -%}\n  {%- set state.turns = state.turns + 1 -%}\n  {{- '<start_of_turn>' ~ ('model' if message.role == 'assistant' else message.role) ~ '\\n' ~ message.content | trim ~ '<end_of_turn>\\n' -}}\n{%- endfor -%}\n{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}{{ state.turns }}",
    { bos_token: "<bos>" },
    "<bos><start_of_turn>user\nHi!<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n3",
  ],
  [
    "a macro, tests, defaults, tojson of what is missing",
    "{%- macro turn(role, text='') -%}{{ role | upper }}: {{ text }}{%- endmacro -%}{% for m in messages %}{{ turn(m.role, m.content) }};{% endfor %}{{ tools is none }} {{ pad_token is defined }} {{ missing | default('none') }}",
    {},
    "SYSTEM: Be brief.;USER:  Hi! ;ASSISTANT: Hello.;USER: Bye;true true none",
  ],
];

describe("families", () => {
  test.each(families)("%s", async (_, template, config, wanted) => {
    const tokenizer = await with_({ ...config, chat_template: template });
    const text = await tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
    expect(text).toBe(wanted);
    expect(await applyChatTemplate(tokenizer, messages, { addGenerationPrompt: true })).toBe(wanted);
    const ids = await tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true, tokenize: true });
    expect(tokenizer.decode(ids)).toBe(wanted);
  });

  test("named templates: the default, one by name, the one for tools", async () => {
    const tools = [{ type: "function", function: { name: "add", parameters: { type: "object" } } }];
    const tokenizer = await with_({
      chat_template: [
        { name: "default", template: "plain" },
        { name: "tool_use", template: "{{ tools[0].function.name }} {{ tools | tojson }}" },
        { name: "rag", template: "{{ documents | length }}" },
      ],
    });
    expect(await tokenizer.applyChatTemplate([])).toBe("plain");
    expect(await tokenizer.applyChatTemplate([], { tools })).toMatch(/^add \[\{"type": "function"/);
    expect(await tokenizer.applyChatTemplate([], { tools, name: "default" })).toBe("plain");
    expect(await tokenizer.applyChatTemplate([], { name: "rag", variables: { documents: [1, 2] } })).toBe("2");
    await expect(tokenizer.applyChatTemplate([], { name: "x" })).rejects.toThrow(
      /needs a template named x, got default, tool_use and rag/,
    );
  });

  test("a folder's chat_template.jinja", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tenon-chat-"));
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(byteTokenizer()));
    writeFileSync(join(folder, "tokenizer_config.json"), '{"bos_token": "<s>"}');
    writeFileSync(join(folder, "chat_template.jinja"), "{{ bos_token }}{{ messages[0].content }}");
    expect(await (await loadTokenizer(folder)).applyChatTemplate(messages)).toBe("<s>Be brief.");
    rmSync(folder, { recursive: true });
  });

  const minimind = `${data}/tokenizers/minimind`;
  test.skipIf(!hasData || !existsSync(minimind))(
    "the published template of a model, special tokens as one id",
    async () => {
      const tokenizer = await loadTokenizer(minimind);
      const text = await tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
      expect(text.startsWith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi! <|im_end|>\n")).toBe(
        true,
      );
      const ids = await tokenizer.applyChatTemplate(messages, { tokenize: true });
      expect(ids[0]).toBe(tokenizer.idOf("<|im_start|>"));
      expect(ids.filter((id) => id === tokenizer.idOf("<|im_end|>"))).toHaveLength(4);
    },
  );
});

describe("refused", () => {
  test("no template, one that is too long, one that is malformed", async () => {
    const tokenizer = byteTokenizer();
    await expect(tokenizer.applyChatTemplate(messages)).rejects.toThrow(/needs a chat template.*tokenizer_config.json/);
    const apply = (template: string) => tokenizer.applyChatTemplate(messages, { template });
    await expect(apply("x".repeat(2 ** 20 + 1))).rejects.toThrow(/at most 1048576 characters, got 1048577/);
    for (const broken of ["{% if %}", "{{ unclosed", "{% for m in messages %}", "{{ x | nofilter }}"]) {
      await expect(apply(broken), broken).rejects.toThrow(/applyChatTemplate: the template cannot be rendered: /);
    }
  });

  test("what the template itself refuses, in its words", async () => {
    const [, template, config] = families[1];
    const tokenizer = await with_({ ...config, chat_template: template });
    const error = await tokenizer.applyChatTemplate([messages[1], messages[1]]).catch((caught) => caught);
    expect(error).toMatchObject({ name: "FormatError" });
    expect(error.message).toContain("Roles must alternate user/assistant");
  });

  test("a template reaches nothing of the host", async () => {
    const apply = (template: string) => byteTokenizer().applyChatTemplate(messages, { template });
    for (const path of ["messages.constructor", "''.constructor.constructor", "messages.__proto__", "globalThis"]) {
      const text = await apply(`{{ ${path} is defined }}`).catch(() => "refused");
      expect(["false", "refused"], path).toContain(text);
    }
    expect(({} as { polluted?: 1 }).polluted).toBeUndefined();
  });

  test("without the package the error says what to install", async () => {
    const { loadJinja } = await import("../../src/tokenizers/chat-template.js");
    await expect(loadJinja("@huggingface/not-installed")).rejects.toThrow(
      /needs the optional package @huggingface\/not-installed, got no such package. npm install @huggingface\/not-installed/,
    );
  });

  test("a page hands the package over", async () => {
    const jinja = await import("@huggingface/jinja");
    expect(await byteTokenizer().applyChatTemplate(messages, { template: "{{ messages | length }}", jinja })).toBe("4");
  });
});
