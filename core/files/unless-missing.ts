/** Whether an error of the file system says that nothing is there, also because what should hold it is no folder. */
export function isMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** For `catch`: what is not there is undefined. @throws any other error */
export function unlessMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}
