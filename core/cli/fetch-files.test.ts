import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, realpath, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../test/temporary-folder.js';
import type { RunArtifact } from '../engine/past-runs/run-artifacts.js';
import { fetchArtifact, fetchOver, type ReadBytes } from './fetch-files.js';

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return { ...real, stat: vi.fn(real.stat), rename: vi.fn(real.rename) };
});

const contents: Readonly<Record<string, string>> = {
  'config.json': '{}',
  empty: '',
  'deep/weights.bin': 'w'.repeat(1000),
};

const artifact: RunArtifact = {
  id: 'simmer://model/sha256-00',
  type: 'model',
  stage: 'tuned',
  output: 'model',
  files: Object.entries(contents).map(([path, text]) => ({
    path,
    size: text.length,
    sha256: createHash('sha256').update(text).digest('hex'),
  })),
};

let folder: string;
/** What was asked for. */
let asked: string[];
beforeEach(async () => {
  folder = await realpath(await temporaryFolder());
  asked = [];
});

/** Gives the contents by a hundred bytes; @param bytes after so many it breaks off */
function reader(bytes = Number.POSITIVE_INFINITY, of = contents): ReadBytes {
  return async function* ({ path, offset }) {
    asked.push(`${path} from ${offset}`);
    for (let at = offset; at < of[path]!.length; at += 100) {
      if (at >= bytes) throw new Error('the line broke');
      yield Buffer.from(of[path]!.slice(at, at + 100));
    }
  };
}

describe('the files of an artifact', () => {
  it('come into a new folder, and leave nothing beside it', async () => {
    await fetchArtifact(artifact, join(folder, 'tuned'), reader());
    expect(await readdir(folder)).toEqual(['tuned']);
    for (const [path, text] of Object.entries(contents)) {
      expect(await readFile(join(folder, 'tuned', path), 'utf8')).toBe(text);
    }
  });

  it('are not there until all are whole, and go on where the line broke', async () => {
    const target = join(folder, 'tuned');
    await expect(fetchArtifact(artifact, target, reader(300))).rejects.toThrow('the line broke');
    expect(await readdir(folder)).toEqual([expect.stringMatching(/^\.tuned\.[0-9a-f]{12}\.part$/)]);
    asked = [];
    await fetchArtifact(artifact, target, reader());
    expect(asked).toEqual(['empty from 0', 'deep/weights.bin from 300']);
    expect(await readFile(join(target, 'deep/weights.bin'), 'utf8')).toBe(contents['deep/weights.bin']);
  });

  it('come anew where what was left is damaged', async () => {
    const target = join(folder, 'tuned');
    await expect(fetchArtifact(artifact, target, reader(300))).rejects.toThrow('the line broke');
    const [part] = await readdir(folder);
    await writeFile(join(folder, part!, 'deep/weights.bin'), 'x'.repeat(400));
    await fetchArtifact(artifact, target, reader());
    expect(await readFile(join(target, 'deep/weights.bin'), 'utf8')).toBe(contents['deep/weights.bin']);
  });

  it('are refused where they are not what their digests say', async () => {
    const read = reader(undefined, { ...contents, 'config.json': '[]' });
    await expect(fetchArtifact(artifact, join(folder, 'tuned'), read)).rejects.toMatchObject({ code: 'fetch_damaged' });
    await expect(readdir(join(folder, 'tuned'))).rejects.toThrow('ENOENT');
  });

  it('never come outside of the folder, whatever a server calls them', async () => {
    const outside = { ...artifact, files: [{ path: '../../outside', size: 2, sha256: '' }] };
    const read = reader(undefined, { '../../outside': '{}' });
    await expect(fetchArtifact(outside, join(folder, 'tuned'), read)).rejects.toMatchObject({ code: 'fetch_damaged' });
    expect(asked).toEqual([]);
  });

  it('that find no space are told as that, with the option to change', async () => {
    const full: ReadBytes = () => {
      throw Object.assign(new Error('write'), { code: 'ENOSPC' });
    };
    await expect(fetchArtifact(artifact, join(folder, 'tuned'), full)).rejects.toMatchObject({
      code: 'no_disk_space',
      hint: 'Free some space, or choose another place with --output.',
    });
  });

  it('overwrite nothing', async () => {
    await mkdir(join(folder, 'taken'));
    await writeFile(join(folder, 'taken', 'mine'), '');
    for (const path of ['taken', 'taken/mine']) {
      const fetching = fetchArtifact(artifact, join(folder, path), reader());
      await expect(fetching).rejects.toMatchObject({ code: 'output_exists' });
    }
    expect(asked).toEqual([]);
  });

  it('come into the empty folder that a link leads to', async () => {
    await mkdir(join(folder, 'real'));
    await symlink('real', join(folder, 'link'));
    await fetchArtifact(artifact, join(folder, 'link'), reader());
    expect((await lstat(join(folder, 'link'))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(folder, 'real', 'config.json'), 'utf8')).toBe('{}');
  });

  it('are not fetched where a file system of its own is mounted', async () => {
    const target = join(folder, 'mount');
    await mkdir(target);
    const { stat: realStat } = await vi.importActual<typeof import('node:fs/promises')>('node:fs/promises');
    const onAnother = async (path: string) => Object.assign(await realStat(path), path === target ? { dev: -1 } : {});
    vi.mocked(stat).mockImplementation(onAnother as typeof stat);
    const fetching = fetchArtifact(artifact, target, reader());
    const error = { code: 'output_is_mount', hint: expect.stringContaining(join(target, 'NAME')) };
    await expect(fetching).rejects.toMatchObject(error);
    expect(asked).toEqual([]);
    vi.mocked(stat).mockImplementation(realStat);
    // One that is bound from the same file system shows only now.
    vi.mocked(rename).mockRejectedValueOnce(Object.assign(new Error('rename'), { code: 'EBUSY' }));
    await expect(fetchArtifact(artifact, target, reader())).rejects.toMatchObject(error);
  });
});

describe('a report', () => {
  const fetch = (read: ReadBytes) => fetchOver({ id: 'report', path: 'config.json' }, join(folder, 'a.html'), read);

  it('replaces a former one once it is whole, and not before', async () => {
    await writeFile(join(folder, 'a.html'), 'former');
    await expect(fetch(reader(0))).rejects.toThrow('the line broke');
    expect(await readFile(join(folder, 'a.html'), 'utf8')).toBe('former');
    await fetch(reader());
    expect(await readFile(join(folder, 'a.html'), 'utf8')).toBe('{}');
    expect(await readdir(folder)).toEqual(['a.html']);
  });

  it('goes where a link leads', async () => {
    await mkdir(join(folder, 'site'));
    await writeFile(join(folder, 'site', 'index.html'), 'former');
    await symlink(join('site', 'index.html'), join(folder, 'a.html'));
    await fetch(reader());
    expect((await lstat(join(folder, 'a.html'))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(folder, 'site', 'index.html'), 'utf8')).toBe('{}');
  });

  it('replaces nothing but a file', async () => {
    const refused = async (why: string) => {
      await expect(fetch(reader())).rejects.toMatchObject({
        code: 'output_exists',
        message: expect.stringContaining(why),
      });
      await rm(join(folder, 'a.html'));
    };
    await promisify(execFile)('mkfifo', [join(folder, 'a.html')]);
    await refused('is not a regular file');
    await symlink('/dev/null', join(folder, 'a.html'));
    await refused('is not a regular file');
    await symlink('nowhere', join(folder, 'a.html'));
    await refused('is a link that leads nowhere');
    expect(asked).toEqual([]);
  });
});
