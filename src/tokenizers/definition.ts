/** The shape of a `tokenizer.json`, as Hugging Face writes it: five components, added tokens, truncation, padding. */

/** One component (normalizer, pre-tokenizer, model, post-processor or decoder): its type and that type's settings. */
export interface Component {
  type?: string;
  [setting: string]: unknown;
}

/** A token beside the model's vocabulary; it is found in the text before the model sees it. */
export interface AddedTokenDefinition {
  id: number;
  content: string;
  /** Only as a whole word. */
  single_word?: boolean;
  /** Takes the white space on its left with it. */
  lstrip?: boolean;
  /** Takes the white space on its right with it. */
  rstrip?: boolean;
  /** Looked for in the normalized text instead of the original one. */
  normalized?: boolean;
  /** Left out by `decode` unless asked for. */
  special?: boolean;
}

/** How texts that are too long are cut. */
export interface Truncation {
  max_length: number;
  strategy?: "LongestFirst" | "OnlyFirst" | "OnlySecond";
  /** Tokens shared by one part and the next of the overflow. */
  stride?: number;
  direction?: "Right" | "Left";
}

/** How short encodings are filled up. */
export interface Padding {
  strategy?: "BatchLongest" | { Fixed: number };
  direction?: "Right" | "Left";
  pad_to_multiple_of?: number | null;
  pad_id?: number;
  pad_type_id?: number;
  pad_token?: string;
}

/** The whole file. */
export interface TokenizerDefinition {
  version?: string;
  truncation?: Truncation | null;
  padding?: Padding | null;
  added_tokens?: AddedTokenDefinition[];
  normalizer?: Component | null;
  pre_tokenizer?: Component | null;
  post_processor?: Component | null;
  decoder?: Component | null;
  model: Component;
}

/** A token of `tokenizer_config.json`, which is a text or an object that holds it. */
export const tokenText = (value: unknown): string | undefined =>
  typeof value === "string" ? value : (value as { content?: string } | null | undefined)?.content;

/** How a post-processor takes white space out of offsets; undefined where it does not. */
export const trimming = (settings: Component) =>
  settings.trim_offsets === false ? undefined : { addPrefixSpace: settings.add_prefix_space !== false };

/** The parts of a definition that decide ids. */
export function identity(definition: TokenizerDefinition): unknown {
  const { added_tokens = [], normalizer = null, pre_tokenizer = null, post_processor = null, model } = definition;
  // Merges are written in two ways that mean the same.
  const merges = (model.merges as unknown[] | undefined)?.map((merge) =>
    typeof merge === "string" ? merge.split(" ") : merge,
  );
  return { added_tokens, normalizer, pre_tokenizer, post_processor, model: { ...model, merges } };
}
