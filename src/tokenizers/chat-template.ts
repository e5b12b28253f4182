/** Chat templates, rendered by the optional peer `@huggingface/jinja`, which is loaded on first use. */

import { ConfigError, FormatError, listOf } from "../core/errors.js";
import type { ChatMessage, ChatOptions, Jinja } from "./chat.js";
import { tokenText } from "./definition.js";
import type { Tokenizer } from "./tokenizer.js";

const WHERE = "applyChatTemplate";
/** Longer templates are refused unread. */
const LONGEST_TEMPLATE = 1 << 20;

/** See `applyChatTemplate` in chat.ts. */
export async function renderChat(
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  options: ChatOptions,
): Promise<string | number[]> {
  const source = templateOf(tokenizer, options);
  const { Template } = options.jinja ?? (await loadJinja());
  let text: string;
  try {
    text = new Template(source).render({
      ...specialTokens(tokenizer),
      messages,
      tools: options.tools ?? null,
      add_generation_prompt: options.addGenerationPrompt === true,
      ...options.variables,
    });
  } catch (cause) {
    throw new FormatError(`${WHERE}: the template cannot be rendered: ${(cause as Error).message}.`, {
      where: WHERE,
      cause,
    });
  }
  return options.tokenize ? tokenizer.encode(text, { addSpecialTokens: false }).ids : text;
}

function templateOf({ extras }: Tokenizer, { template, name, tools }: ChatOptions): string {
  let source: unknown = template ?? extras.chatTemplate;
  if (Array.isArray(source)) {
    const named = source as { name: string; template: string }[];
    const find = (wanted: string) => named.find((one) => one?.name === wanted)?.template;
    source = name !== undefined ? find(name) : ((tools && find("tool_use")) ?? find("default"));
    if (source === undefined) {
      const names = listOf(named.map((one) => String(one?.name)));
      throw new ConfigError(`${WHERE}: needs a template named ${name ?? "default"}, got ${names}.`, {
        where: WHERE,
        hint: "Give { name }.",
      });
    }
  }
  if (typeof source !== "string") {
    throw new ConfigError(`${WHERE}: needs a chat template, got a tokenizer without one.`, {
      where: WHERE,
      hint: "Load the directory with tokenizer_config.json, or give { template }.",
    });
  }
  if (source.length > LONGEST_TEMPLATE) {
    throw new FormatError(
      `${WHERE}: needs a template of at most ${LONGEST_TEMPLATE} characters, got ${source.length}.`,
      { where: WHERE },
    );
  }
  return source;
}

const SPECIAL = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

/** `bos_token` and the others by the names that templates use; "" for what the files do not name. */
function specialTokens({ extras }: Tokenizer): Record<string, unknown> {
  const { config = {} } = extras;
  const tokens: Record<string, unknown> = {};
  for (const kind of SPECIAL) tokens[`${kind}_token`] = tokenText(config[`${kind}_token`]) ?? "";
  tokens.bos_token ||= extras.bosToken ?? "";
  tokens.eos_token ||= extras.eosToken ?? "";
  return tokens;
}

/** The package under its name as a value: it is optional, and bundlers and type checkers must not insist on it. */
export async function loadJinja(name = "@huggingface/jinja"): Promise<Jinja> {
  try {
    return await import(/* webpackIgnore: true */ /* @vite-ignore */ name);
  } catch (cause) {
    throw new ConfigError(`${WHERE}: needs the optional package ${name}, got no such package.`, {
      where: WHERE,
      hint: `npm install ${name}, and in a bundled page hand it over: { jinja: await import("${name}") }.`,
      cause,
    });
  }
}
