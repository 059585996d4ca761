/** For `catch`: what is not there is undefined. @throws any other error */
export function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
