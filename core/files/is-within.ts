import { relative, sep } from 'node:path';

/** Whether a path is a folder, or lies in it, by their names: where links lead is for the caller to see first. */
export function isWithin(path: string, folder: string): boolean {
  return relative(folder, path).split(sep)[0] !== '..';
}
