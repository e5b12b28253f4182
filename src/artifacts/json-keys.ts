/** Finding keys that an object of a JSON text holds twice: `JSON.parse` silently keeps the last. */

import { stringEnd } from "../core/json.js";

/** The first key that some object of a valid JSON text holds twice, or undefined. */
export function duplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  let expectsKey = false;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 0x7b: // {
        open.push(new Set());
        expectsKey = true;
        break;
      case 0x5b: // [
        open.push(undefined);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        break;
      case 0x2c: // ,
        expectsKey = open[open.length - 1] !== undefined;
        break;
      case 0x22: {
        const start = at;
        at = stringEnd(json, start);
        if (!expectsKey) break;
        const written = json.slice(start + 1, at);
        const key: string = written.includes("\\") ? JSON.parse(`"${written}"`) : written;
        const keys = open[open.length - 1];
        if (keys?.has(key)) return key;
        keys?.add(key);
        expectsKey = false;
        break;
      }
    }
  }
  return undefined;
}
