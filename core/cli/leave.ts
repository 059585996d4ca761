const exit = process.exit.bind(process);

/** Ends this process at once. */
export function leave(code: number): never {
  return exit(code);
}

/** From here on `process.exit` is an error of whoever calls it: a plugin would end all that this process does. */
export function forbidExit(): void {
  process.exit = (code) => {
    throw new Error(`it called process.exit(${code ?? ''}), which would end Simmer itself`);
  };
}
