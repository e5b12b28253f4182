/** Chat templates, rendered by the optional peer `@huggingface/jinja`, which is loaded on first use. */

import { ConfigError } from "../core/errors.js";
import type { Tokenizer } from "./tokenizer.js";

export interface ChatMessage {
  role: string;
  content: string;
  [field: string]: unknown;
}

export interface ChatOptions {
  /** A template of one's own; otherwise that of `tokenizer_config.json`. */
  template?: string;
  /** Which of several templates in the file; "default" unless told. */
  name?: string;
  /** End with the beginning of an answer. */
  addGenerationPrompt?: boolean;
  tools?: unknown[];
  /** Further variables for the template. */
  variables?: Record<string, unknown>;
}

interface Jinja {
  Template: new (source: string) => { render(variables: Record<string, unknown>): string };
}

/** The text of a conversation. Throws ConfigError where there is no template or the peer is not installed. */
export async function applyChatTemplate(
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  options: ChatOptions = {},
): Promise<string> {
  const { chatTemplate, bosToken = "", eosToken = "", config = {} } = tokenizer.extras;
  const named = Array.isArray(chatTemplate)
    ? chatTemplate.find(({ name }) => name === (options.name ?? "default"))?.template
    : chatTemplate;
  const source = options.template ?? named;
  if (typeof source !== "string") {
    throw new ConfigError("applyChatTemplate: needs a chat template, got a tokenizer without one.", {
      where: "applyChatTemplate",
      hint: "Load the directory with tokenizer_config.json, or give { template }.",
    });
  }
  let jinja: Jinja;
  try {
    const specifier = "@huggingface/jinja"; // an optional peer: bundlers and type checkers must not insist on it
    jinja = await import(/* @vite-ignore */ specifier);
  } catch (cause) {
    throw new ConfigError("applyChatTemplate: needs the optional package @huggingface/jinja, got no such package.", {
      where: "applyChatTemplate",
      hint: "npm install @huggingface/jinja",
      cause,
    });
  }
  return new jinja.Template(source).render({
    messages,
    tools: options.tools ?? null,
    add_generation_prompt: options.addGenerationPrompt === true,
    bos_token: bosToken,
    eos_token: eosToken,
    unk_token: config.unk_token ?? "",
    pad_token: config.pad_token ?? "",
    ...options.variables,
  });
}
