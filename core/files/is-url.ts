/** Whether a text names something to fetch, and no file of this machine: `..` in it would lead to one. */
export function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) && !/^file:/i.test(text) && !text.split('/').includes('..');
}
