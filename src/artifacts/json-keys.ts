/** Finding keys that an object of a JSON text holds twice: `JSON.parse` silently keeps the last. */

/** The first key that some object of a valid JSON text holds twice, or undefined. */
export function duplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  let expectsKey = false;
  for (let at = 0; at < json.length; at++) {
    switch (json[at]) {
      case "{":
        open.push(new Set());
        expectsKey = true;
        break;
      case "[":
        open.push(undefined);
        break;
      case "}":
      case "]":
        open.pop();
        break;
      case ",":
        expectsKey = open[open.length - 1] !== undefined;
        break;
      case '"': {
        const start = at;
        for (at++; json[at] !== '"'; at++) if (json[at] === "\\") at++;
        if (!expectsKey) break;
        const key: string = JSON.parse(json.slice(start, at + 1));
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
