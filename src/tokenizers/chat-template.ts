/** Chat templates, rendered by the optional peer `@huggingface/jinja`, which is loaded on first use. */

import { ConfigError, FormatError, listOf } from "../core/errors.js";
import { type Tokenizer, tokenText } from "./tokenizer.js";

export interface ChatMessage {
  role: string;
  /** A text, or parts such as `{ type: "text", text }` where the template knows them. */
  content?: unknown;
  [field: string]: unknown;
}

export interface ChatOptions {
  /** A template of one's own; otherwise that of the files beside `tokenizer.json`. */
  template?: string;
  /** Which of several templates; "default" unless told, or "tool_use" where there are tools and such a template. */
  name?: string;
  /** End with the beginning of an answer. */
  addGenerationPrompt?: boolean;
  /** Descriptions of functions that the model may call, as JSON schemas. */
  tools?: unknown[];
  /** Further variables for the template. */
  variables?: Record<string, unknown>;
  /** Ids instead of the text; the template writes special tokens itself, so none are added. */
  tokenize?: boolean;
  /** The module `@huggingface/jinja`, where a bundler or a page cannot find it by that name. */
  jinja?: Jinja;
}

/** What is used of `@huggingface/jinja`. */
export interface Jinja {
  Template: new (source: string) => { render(variables: Record<string, unknown>): string };
}

const WHERE = "applyChatTemplate";
/** Longer templates are refused unread. */
const LONGEST_TEMPLATE = 1 << 20;

/**
 * The text of a conversation, or its ids with `tokenize`. Throws ConfigError where there is no template or the peer is
 * not installed, FormatError with the template's own words where it refuses. A template is a program and may take as
 * long as it likes: run those of strangers in a worker that you can end.
 */
export function applyChatTemplate(
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  options: ChatOptions & { tokenize: true },
): Promise<number[]>;
export function applyChatTemplate(
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  options?: ChatOptions & { tokenize?: false },
): Promise<string>;
export function applyChatTemplate(
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  options?: ChatOptions,
): Promise<string | number[]>;
export async function applyChatTemplate(
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  options: ChatOptions = {},
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
    return await import(/* @vite-ignore */ name);
  } catch (cause) {
    throw new ConfigError(`${WHERE}: needs the optional package ${name}, got no such package.`, {
      where: WHERE,
      hint: `npm install ${name}, and in a bundled page hand it over: { jinja: await import("${name}") }.`,
      cause,
    });
  }
}
