import type { LaunchOptions } from "playwright";

export const isolation: Record<string, string>;
export const quickToCompile: string;
export function vulkanLibraryPath(): string;
export function unpackedBrowser(): string | null;
export function browserLaunch(): LaunchOptions | null;
export function useSoftwareVulkan(): void;
