/**
 * What declarations call by a name of the web: the interface of that name where the user's project knows it (from the
 * library `DOM`, `@types/node` or `@webgpu/types`), else as much of it as stands here. The build puts this file into
 * `dist/types` and imports from it where one of its names is used: the package's types need no library but ES2022.
 */
type Web<Name extends string, Otherwise> =
  typeof globalThis extends Record<Name, { prototype: infer Known }> ? Known : Otherwise;

export type AbortSignal = Web<"AbortSignal", { readonly aborted: boolean; readonly reason: unknown }>;
export type Blob = Web<"Blob", { readonly size: number; arrayBuffer(): Promise<ArrayBuffer> }>;
export type File = Web<"File", Blob & { readonly name: string }>;
export type GPU = Web<"GPU", object>;
export type Response = Web<"Response", { readonly ok: boolean; arrayBuffer(): Promise<ArrayBuffer> }>;
export type URL = Web<"URL", { readonly href: string }>;
export type Worker = Web<"Worker", object>;
export type Transferable = object;
/** What is read of one: an interface with a parameter cannot be asked for by name. */
export interface ReadableStream<T> {
  getReader(): { read(): Promise<{ done: boolean; value?: T }>; releaseLock(): void };
}
