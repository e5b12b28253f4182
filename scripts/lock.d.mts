/** Does the work while the folder `lock` is ours; one untouched for `stale` milliseconds is taken away. */
export function locked<T>(lock: string, work: () => T | Promise<T>, stale?: number): Promise<T>;
