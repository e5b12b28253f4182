/** The post-processors that are loaded where a file names them. */

import { show } from "../core/errors.js";
import { type Component, trimming } from "./definition.js";
import type { Builds } from "./kinds.js";
import type { PostProcessor, Slot } from "./post-processor.js";
import { wrongSetting } from "./settings.js";

export const kinds: Builds<PostProcessor[]> = {
  TemplateProcessing: template,
  BertProcessing: (settings) => {
    const [cls, sep] = [special(settings.cls), special(settings.sep)];
    return [
      {
        layout: (texts) =>
          range(texts).map((i) => {
            const text: Slot = { sequence: i, typeId: undefined, asText: true };
            return i === 0 ? [cls(0), text, sep(0)] : [text, sep(1)];
          }),
      },
    ];
  },
  RobertaProcessing: (settings) => {
    const [cls, sep] = [special(settings.cls), special(settings.sep)];
    return [
      {
        layout: (texts) =>
          range(texts).map((i) => [(i === 0 ? cls : sep)(0), { sequence: i, typeId: 0, asText: true }, sep(0)]),
        trim: trimming(settings),
        typeId: 0,
      },
    ];
  },
};

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** A token written as `["[SEP]", 102]`. */
function special(value: unknown): (typeId: number) => Slot {
  if (!Array.isArray(value) || typeof value[0] !== "string" || !Number.isInteger(value[1])) {
    throw wrongSetting("post_processor", "[token, id]", value);
  }
  return (typeId) => ({ ids: [value[1]], tokens: [value[0]], typeId });
}

interface TemplatePiece {
  Sequence?: { id: "A" | "B"; type_id: number };
  SpecialToken?: { id: string; type_id: number };
}

function template(settings: Component): PostProcessor[] {
  const tokens = (settings.special_tokens ?? {}) as Record<string, { ids: number[]; tokens: string[] }>;
  const slots = (pieces: unknown, name: string, sequences: string): Slot[][] => {
    if (!Array.isArray(pieces)) throw badTemplate(name, pieces);
    return pieces.map((piece: TemplatePiece): Slot[] => {
      if (piece?.Sequence) {
        const sequence = sequences.indexOf(piece.Sequence.id);
        if (sequence < 0) throw badTemplate(name, piece);
        return [{ sequence, typeId: piece.Sequence.type_id }];
      }
      const id = piece?.SpecialToken?.id;
      if (id === undefined || !Object.hasOwn(tokens, id)) throw badTemplate(name, piece);
      const { ids, tokens: texts } = tokens[id];
      const isRight =
        Array.isArray(ids) &&
        Array.isArray(texts) &&
        ids.length === texts.length &&
        ids.every((token) => Number.isInteger(token) && token >= 0) &&
        texts.every((text) => typeof text === "string");
      if (!isRight)
        throw wrongSetting(
          `post_processor (TemplateProcessing) special_tokens[${show(id)}]`,
          "ids and as many tokens",
          ids,
        );
      return [{ ids, tokens: texts, typeId: (piece.SpecialToken as { type_id: number }).type_id }];
    });
  };
  const single = slots(settings.single, "single", "A");
  const pair = slots(settings.pair ?? [], "pair", "AB");
  const layout = (texts: number): Slot[][] => {
    if (texts < 1 || texts > 2) throw badTemplate("a place behind another processor", `${texts} texts`);
    return texts === 1 ? single : pair;
  };
  return [{ layout }];
}

const badTemplate = (name: string, got: unknown) =>
  wrongSetting(
    "post_processor (TemplateProcessing)",
    `in ${name} its texts (A, in a pair also B) and tokens of special_tokens`,
    got,
  );
