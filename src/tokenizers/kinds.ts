/**
 * The kinds of one component of a `tokenizer.json`: those that are at hand, and those whose module is loaded when a
 * file names them. Byte-level BPE needs few of them, and so does the page that only wants it.
 */

import type { Component } from "./definition.js";

/** Makes a component from its settings. */
export type Build<T> = (settings: Component) => T;
export type Builds<T> = Record<string, Build<T>>;
/** Loads kinds, and whatever else these settings ask for. */
export type Load<T> = (settings: Component) => Promise<Builds<T>>;

export class Kinds<T> {
  /**
   * `component` and `list` are the file's words: "normalizer", and "normalizers" for the parts of a Sequence, which
   * `join` makes one of. `later` loads the kinds that are not in `known`: types with spaces between them, and how.
   */
  constructor(
    private readonly component: string,
    private readonly list: string,
    private readonly join: (parts: T[]) => T,
    private readonly known: Builds<T>,
    private readonly later: readonly (readonly [types: string, load: Load<T>])[],
  ) {}

  /** Loads what a component and the parts of it need. Throws FormatError for an unknown type. */
  async load(settings: Component | null | undefined): Promise<void> {
    if (!settings) return;
    const { type = "" } = settings;
    const later = this.later.map(([types, load]) => [types.split(" "), load] as const);
    const found = later.find(([types]) => types.includes(type));
    if (type === "Sequence") for (const part of settings[this.list] as Component[]) await this.load(part);
    else if (found) Object.assign(this.known, await found[1](settings));
    else if (!Object.hasOwn(this.known, type)) {
      const { unknownType } = await import("./settings.js");
      const types = [...Object.keys(this.known), ...later.flatMap(([types]) => types), "Sequence"];
      throw unknownType(this.component, settings.type, [...new Set(types)]);
    }
  }

  /** Makes a component whose kinds are loaded. */
  create(settings: Component): T {
    const { type = "" } = settings;
    if (type === "Sequence") return this.join((settings[this.list] as Component[]).map((part) => this.create(part)));
    return this.known[type](settings);
  }
}
