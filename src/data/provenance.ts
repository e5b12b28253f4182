/** What data went into a run: content hashes, schema and steps, and one hash of them all. */

import { canonicalJson } from "../core/json.js";
import { sha256Hex } from "../core/sha256.js";
import type { Json } from "./batch-source.js";
import type { Schema } from "./schema.js";
import type { Stage } from "./stage.js";
import { emptyReport, type ReadReport } from "./violation.js";

/** What a manifest says about data: content hashes, schema and steps, and whether any step is a mere function. */
export interface Provenance {
  fingerprint: string;
  sources: { name: Json; contentHash: string }[];
  schema?: Schema;
  steps: Json[];
  /** Steps whose functions have no name and version: the fingerprint does not vouch for them. */
  unverifiedSteps: number;
}

/** The sources at the roots of a pipeline. */
function rootsOf(stage: Stage): Stage[] {
  return stage.parents.length === 0 ? [stage] : stage.parents.flatMap(rootsOf);
}

/** Counts of the latest pass over the (first) source, with the rows that steps left out. */
export function reportOf(stage: Stage): ReadReport | undefined {
  const report = rootsOf(stage)[0]?.report;
  const drops = dropsOf(stage);
  if (drops.length === 0) return report;
  const droppedRows = drops.reduce((sum, { dropped }) => sum + dropped, 0);
  return { ...(report ?? { ...emptyReport(), rows: drops[0].rows }), droppedRows };
}

const dropsOf = (stage: Stage): NonNullable<Stage["dropped"]>[] => [
  ...stage.parents.flatMap(dropsOf),
  ...(stage.dropped ? [stage.dropped] : []),
];

/** Hash, sources and steps of a stage; sources that are used twice are read once. */
export async function provenanceOf(stage: Stage): Promise<Provenance> {
  await stage.prepare();
  const sources: Provenance["sources"] = [];
  const steps: Json[] = [];
  let unverifiedSteps = 0;
  const seen = new Map<Stage, Json>();
  const describe = async (node: Stage): Promise<Json> => {
    const known = seen.get(node);
    if (known !== undefined) return known;
    const parents: Json[] = [];
    for (const parent of node.parents) parents.push(await describe(parent));
    let description: Json;
    if (node.contentHash) {
      const contentHash = await node.contentHash();
      sources.push({ name: node.step, contentHash });
      description = { contentHash, source: node.step, schema: (node.schema ?? null) as Json };
    } else if (node.step === null) description = parents[0];
    else {
      steps.push(node.step);
      if (JSON.stringify(node.step).includes('"unverified step"')) unverifiedSteps++;
      description = { step: node.step, parents };
    }
    seen.set(node, description);
    return description;
  };
  const fingerprint = sha256Hex(canonicalJson(await describe(stage)));
  return { fingerprint, sources, schema: stage.schema, steps, unverifiedSteps };
}
