import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { contentDigest, globDigest } from '../recipe/content-digest.js';
import { isGlob, matchingFiles } from './matching-files.js';

let folder: string;
beforeEach(async () => {
  folder = join(await temporaryFolder(), '[glob]');
  await mkdir(join(folder, 'a', 'deep'), { recursive: true });
  for (const name of ['b.jsonl', 'a/1.jsonl', 'a/deep/2.jsonl.gz', 'a/notes.txt', '.hidden.jsonl', 'b+|(c).csv'])
    await writeFile(join(folder, name), name);
});

describe('matchingFiles', () => {
  it.each([
    ['*.jsonl', ['b.jsonl']],
    ['**/*.jsonl*', ['a/1.jsonl', 'a/deep/2.jsonl.gz', 'b.jsonl']],
    ['a/{1,3}.jsonl', ['a/1.jsonl']],
    ['a', []],
    ['none/*', []],
    ['a**/****.jsonl', ['a/1.jsonl']],
    ['{a,b}/**/2*', ['a/deep/2.jsonl.gz']],
    ['b+|(c).*', ['b+|(c).csv']],
  ])('finds %s in order, below a folder with brackets in its name', async (glob, expected) => {
    const found = await matchingFiles(glob, folder);
    expect(found.map((file) => relative(folder, file))).toEqual(expected);
  });

  it.each(['*a*a*a*a*a*a*a*a*a*b', 'data/*-*-*-*-*.jsonl', '{a,a}'.repeat(30), '{a/*,b/*}*-*-*'])(
    'refuses %s, which could take for ever',
    async (glob) => {
      await expect(matchingFiles(glob, folder)).rejects.toMatchObject({
        code: 'invalid_glob',
        message: expect.stringContaining(glob),
        hint: expect.stringContaining('at most four'),
      });
    },
  );

  it('takes names with many wildcards where each is in a name of its own, or can be only one thing', async () => {
    for (const glob of [
      '*/*/*/*/*/*',
      '????-??-??/*',
      '{train,test}-*-{0,1,2}-*.{json,jsonl}',
      '**/x*/**/x*',
      '\\*'.repeat(9),
    ]) {
      expect(await matchingFiles(glob, folder)).toEqual([]);
    }
  });

  it('knows what a glob is', () => {
    expect(['data/*.jsonl', 'part-0?.json', '{a,b}.csv'].every(isGlob)).toBe(true);
    expect(isGlob('data/pool-1.jsonl')).toBe(false);
  });
});

describe('the digest of a glob', () => {
  it('follows the matched files, their names and their content, and nothing else', async () => {
    const before = await globDigest('**/*.jsonl*', folder);
    expect(before).toMatch(/^[0-9a-f]{64}$/);
    await writeFile(join(folder, 'a', 'notes.txt'), 'other');
    expect(await globDigest('**/*.jsonl*', folder)).toBe(before);
    await writeFile(join(folder, 'a', '1.jsonl'), 'other');
    const changed = await globDigest('**/*.jsonl*', folder);
    expect(changed).not.toBe(before);
    await writeFile(join(folder, 'c.jsonl'), '');
    expect(await globDigest('**/*.jsonl*', folder)).not.toBe(changed);
    expect(await globDigest('none/*', folder)).toBeUndefined();
    expect(await contentDigest(join(folder, 'none'))).toBeUndefined();
  });
});
