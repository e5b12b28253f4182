/** Vitest's pages in the system's Firefox, with WebGPU. */
import { defineBrowserProvider } from "@vitest/browser";
import { launchWithWebGpu } from "./firefox.mjs";

export const firefox = () =>
  defineBrowserProvider({ name: "firefox", supportedBrowser: ["firefox"], providerFactory: () => new Provider() });

class Provider {
  name = "firefox";
  supportsParallelism = false;
  #browser;

  getCommandsContext() {
    return {};
  }

  async openPage(_session, url) {
    this.#browser ??= await launchWithWebGpu();
    const page = await this.#browser.newPage();
    await page.goto(url, { timeout: 0 });
  }

  async close() {
    await this.#browser?.close();
  }
}
