/** A command's work, loaded when it is called for: `simmer --help` must not wait for zod, rxjs or gRPC. */
export type CommandWork<Arguments extends readonly unknown[]> = () => Promise<(...given: Arguments) => Promise<number>>;

export interface ActionOptions {
  /** It has to do with no home, here or on a server: `--server` is refused, an exported SIMMER_SERVER not looked at. */
  readonly hasNoServer?: boolean;
}

/** What commander is to call for a command: loads its work and keeps the exit code. */
export type CommandAction = <Arguments extends readonly unknown[]>(
  load: CommandWork<Arguments>,
  options?: ActionOptions,
) => (...given: unknown[]) => Promise<void>;
