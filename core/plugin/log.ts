/** Where messages of a stage, trainer or plugin go; becomes `log.written`. */
export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warning(message: string): void;
  error(message: string): void;
}

/** Where nobody is told. */
export const silentLog: Log = { debug() {}, info() {}, warning() {}, error() {} };
