/** Conversations as text or ids; the work is done in `chat-template.ts`, which is loaded on first use. */

import type { Tokenizer } from "./tokenizer.js";

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
export async function applyChatTemplate(
  tokenizer: Tokenizer,
  messages: ChatMessage[],
  options: ChatOptions = {},
): Promise<string | number[]> {
  return (await import("./chat-template.js")).renderChat(tokenizer, messages, options);
}
