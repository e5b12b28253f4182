/** Vitest's pages in the system's Firefox, with WebGPU switched on, on the Vulkan driver of the environment. */
import { dirname } from "node:path";
import { defineBrowserProvider } from "@vitest/browser";
import { launchFirefox } from "./firefox.mjs";

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
    const loader = process.env.TENON_VULKAN_LOADER;
    const paths = [loader && dirname(loader), process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
    this.#browser ??= await launchFirefox({
      env: { ...process.env, LD_LIBRARY_PATH: paths },
      extraPrefsFirefox: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true },
    });
    const page = await this.#browser.newPage();
    await page.goto(url, { timeout: 0 });
  }

  async close() {
    await this.#browser?.close();
  }
}
