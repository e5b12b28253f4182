import type { LaunchOptions } from "playwright";

export function unpackedBrowser(): string | null;
export function browserLaunch(): LaunchOptions | null;
export function useSoftwareVulkan(): void;
