/** A command's work, loaded when it is called for: `simmer --help` must not wait for zod, rxjs or gRPC. */
export type CommandWork<Arguments extends readonly unknown[]> = () => Promise<(...given: Arguments) => Promise<number>>;

/** What commander is to call for a command: loads its work and keeps the exit code. */
export type CommandAction = <Arguments extends readonly unknown[]>(
  load: CommandWork<Arguments>,
) => (...given: unknown[]) => Promise<void>;
