/** Folders of files that a page was given, and servers that answer with a page where there is no file. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { loadModel } from "tenon/models";
import { expect, test } from "vitest";
import { openFolder, sourceText, urlSource } from "../../src/artifacts/sources.js";

const file = (path: string, text: string): File => {
  const made = new File([text], path.split("/").at(-1)!);
  Object.defineProperty(made, "webkitRelativePath", { value: path.includes("/") ? path : "" });
  return made;
};
const read = async (list: ArrayLike<File>, name: string) => {
  const found = await openFolder(list).find(name);
  return found && sourceText(found);
};

test("of a chosen folder the files at its top count, whatever the order", async () => {
  const files = [
    file("gpt2/onnx/config.json", "inner"),
    file("gpt2/config.json", "own"),
    file("gpt2/a/b/x.txt", "deep"),
  ];
  for (const list of [files, [...files].reverse()]) {
    expect(await read(list, "config.json")).toBe("own");
    expect(await read(list, "x.txt")).toBeUndefined();
  }
  const list = { length: 1, 0: files[1], item: (i: number) => files[i] };
  expect(await read(list, "config.json")).toBe("own");
  expect(await read([file("config.json", "dropped")], "config.json")).toBe("dropped");
  expect(() => openFolder([file("up/a/config.json", "1"), file("up/b/config.json", "2")])).toThrow(
    "folder: needs the files of one folder, got up/a/config.json and up/b/config.json. Choose the folder",
  );
});

test("a page in the place of a file is no file", async () => {
  const page = "<!doctype html><title>app</title>";
  const server = createServer((request, response) => {
    const found = request.url === "/model/config.json";
    response.writeHead(200, { "content-type": found ? "application/json" : "text/html; charset=utf-8" });
    response.end(found ? '{ "model_type": "gpt2" }' : page);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await expect(urlSource(`${base}/book.txt`)).rejects.toThrow(
      /book\.txt: cannot be fetched, the server answered with a page\. Many servers do so where there is no such file\.$/,
    );
    expect(await sourceText(await urlSource(`${base}/about.html?x=1`))).toBe(page);
    const folder = openFolder(`${base}/model`);
    expect(await folder.find("tokenizer_config.json")).toBeUndefined();
    expect(await folder.find("config.json")).toBeDefined();
    await expect(loadModel(`${base}/model`)).rejects.toThrow(/model\.safetensors.* expected, found neither/);
  } finally {
    server.close();
  }
});
